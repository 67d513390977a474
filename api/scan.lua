-- A page of a sorted set that is the answer as it stands.
--
--   EVALSHA <sha> 4 <row> <rest> <index> <position> <lo> <hi> <descending> <rotated> <heads> <offset> <limit>
--
-- row       hash        group id -> JSON object of the default fields
-- rest      hash        group id -> what follows them in the document
-- index     sorted set  group ids in the order of the list
-- position  hash        <topic>/<partition> -> next offset to apply
--
-- lo, hi      bounds of the scores, as ZCOUNT takes them
-- descending  1: from the highest rank down
-- rotated     1: as descending, but the members with the score +inf come last (lo and hi are infinite then)
-- heads       1: only the default fields
--
-- Answers {count, rows, position}: rows are JSON objects joined by commas. Reads only; O(log n + limit) at any offset.

local index = KEYS[3]
local lo, hi = ARGV[1], ARGV[2]
local descending, rotated, heads = ARGV[3] == '1', ARGV[4] == '1', ARGV[5] == '1'
local offset, limit = tonumber(ARGV[6]), tonumber(ARGV[7])

local count = redis.call('ZCOUNT', index, lo, hi)
local take = math.min(limit, count - offset)
if take <= 0 then
  return answer(count, '')
end

local card = redis.call('ZCARD', index)
-- Members below lo and above hi.
local below = card - redis.call('ZCOUNT', index, lo, '+inf')
local above = card - below - count

local ids
if not descending then
  ids = redis.call('ZRANGE', index, below + offset, below + offset + take - 1)
elseif not rotated then
  ids = redis.call('ZRANGE', index, above + offset, above + offset + take - 1, 'REV')
else
  -- Counted from the end, the members without a value come first; the page is cut where the others end.
  local without = redis.call('ZCOUNT', index, '+inf', '+inf')
  local with = card - without
  local first = math.max(0, math.min(take, with - offset))
  ids = {}
  if first > 0 then
    ids = redis.call('ZRANGE', index, without + offset, without + offset + first - 1, 'REV')
  end
  if first < take then
    local start = offset + first - with
    for _, id in ipairs(redis.call('ZRANGE', index, start, start + take - first - 1, 'REV')) do
      ids[#ids + 1] = id
    end
  end
end

local text, fault = rows(ids, heads)
if fault then
  return fault
end
return answer(count, text)
