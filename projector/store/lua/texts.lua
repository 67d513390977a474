-- The texts that `q` searches: a chunk has the lines of LINES consecutive ordinals, each followed by END, which does
-- not occur in UTF-8. Groups of other writers share it, so lines are put into it here.
local LINES, END = 128, '\255'

-- `lines`: place, from 0, and line in turn.
local function splice(key, chunk, lines)
  local all = {}
  for line in string.gmatch(redis.call('HGET', key, chunk) or '', '([^' .. END .. ']*)' .. END) do
    all[#all + 1] = line
  end
  for place = #all + 1, LINES do
    all[place] = ''
  end
  for i = 1, #lines, 2 do
    all[lines[i] + 1] = lines[i + 1]
  end
  redis.call('HSET', key, chunk, table.concat(all, END) .. END)
end

return {splice = splice}
