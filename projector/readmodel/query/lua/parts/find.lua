-- Put behind lines.lua: where lines of `text` have a text in them.

local LINE_BYTES = LINES / 8
local NOWHERE = string.rep('\0', LINE_BYTES)

-- A bit for each line of a chunk, as in a bitmap; how many are 1.
local function found_in(chunk, needle)
  local at = chunk and string.find(chunk, needle, 1, true)
  if not at then
    return NOWHERE, 0
  end
  local bytes, found, place, start = {}, 0, 0, 1
  for i = 1, LINE_BYTES do
    bytes[i] = 0
  end
  while at do
    local stop = string.find(chunk, END, start, true)
    while stop < at do
      place, start = place + 1, stop + 1
      stop = string.find(chunk, END, start, true)
    end
    local i = math.floor(place / 8) + 1
    bytes[i] = bytes[i] + 2 ^ (7 - place % 8)
    found, place, start = found + 1, place + 1, stop + 1
    at = string.find(chunk, needle, start, true)
  end
  return string.char(unpack(bytes)), found
end
