-- Lua's stack holds 8000 values; a call takes at most this many. Pairs, and fours, stay together.
local CHUNK = 4000

local function each_chunk(list, first, last, call)
  for from = first, last, CHUNK do
    call(unpack(list, from, math.min(from + CHUNK - 1, last)))
  end
end
