-- What was done for an answer, for `projector explain`: {what, key, groups}. See explain.py for their meaning.
local masks = masks

-- A number of groups, or a bitmap of them, takes time to count: only if the caller wants to know.
local function recorder(is_wanted)
  local steps = {}
  local function tell(what, key, groups)
    if is_wanted then
      steps[#steps + 1] = {what, key, type(groups) == 'string' and masks.count(groups) or groups}
    end
  end
  return {tell = tell, steps = steps}
end

return {recorder = recorder}
