-- Bits of a bitmap, as ../flips.py packs them: BITS_BYTES bytes for some consecutive ordinals.
local BITS_BYTES = 9

local WIDTHS = {}
for width = 1, 32 do
  WIDTHS[width] = 'u' .. width
end

-- Numbers as Redis reads them. To write one takes longer than to look it up, and an ordinal occurs in many bitmaps.
local texts_of_numbers = setmetatable({}, {__index = function(texts, number)
  local text = string.format('%.0f', number)
  texts[number] = text
  return text
end})

local function write(key, packed)
  local arguments, n = {}, 0
  for at = 1, #packed, BITS_BYTES do
    local ordinal, width, integer = struct.unpack('>I4I1I4', packed, at)
    arguments[n + 1], arguments[n + 2] = 'SET', WIDTHS[width]
    arguments[n + 3], arguments[n + 4] = texts_of_numbers[ordinal], texts_of_numbers[integer]
    n = n + 4
  end
  lists.each_portion(arguments, 1, n, function(...) redis.call('BITFIELD', key, ...) end)
end

return {write = write}
