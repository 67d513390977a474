-- Long lists, in portions: Lua's stack holds 8000 values. Pairs, and fours, stay together.
local PORTION = 4000

local function each_portion(list, first, last, call)
  for from = first, last, PORTION do
    call(unpack(list, from, math.min(from + PORTION - 1, last)))
  end
end

-- The values of the fields of a hash, in their order.
local function values(key, fields)
  local found = {}
  each_portion(fields, 1, #fields, function(...)
    for _, value in ipairs(redis.call('HMGET', key, ...)) do
      found[#found + 1] = value
    end
  end)
  return found
end

return {each_portion = each_portion, values = values}
