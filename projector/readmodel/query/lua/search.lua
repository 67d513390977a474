-- One slice of a search for a text through all lines: as much as Redis may be held for.
--
--   EVALSHA <sha> 4 <text> <ordinal> <edited> <absent> <needle> <first chunk> <chunks>
--
-- text, edited  see lines.lua
-- ordinal       sorted set  group id, scored by its ordinal
-- needle        not empty
-- chunks        to look through at most; lines that are found count, too
--
-- Answers {bits, full, edits}: a bit for each line of the chunks that were looked through, as in a bitmap; how many
-- chunks have all their lines, of which none beyond is looked through; the number of the last edit. Reads only.

local TEXT, ORDINAL, EDITED = KEYS[1], KEYS[2], KEYS[3]
local needle, first, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- To note so many lines takes about as long as to look through a chunk.
local NOTED_LINES = 16

local full = math.floor(redis.call('ZCARD', ORDINAL) / LINES)
local last = redis.call('ZREVRANGE', EDITED, 0, 0, 'WITHSCORES')
local bits = {}
for chunk = first, full - 1 do
  if left <= 0 then
    break
  end
  local found
  bits[#bits + 1], found = found_in(redis.call('HGET', TEXT, chunk), needle)
  left = left - 1 - found / NOTED_LINES
end
return {table.concat(bits), full, tonumber(last[2] or 0)}
