-- Part of a sorted set that is the answer as it stands.
--
--   EVALSHA <sha> 5 <row> <rest> <index> <position> <absent> <the six of window.lua> <lo> <hi>
--
-- row       hash        group id -> JSON object of the default fields
-- rest      hash        group id -> what follows them in the document
-- index     sorted set  group ids in the order of the list
-- ordinal   sorted set  group id, scored by its ordinal
-- changed   sorted set  see bits.lua
-- position  hash        <topic>/<partition> -> next offset to apply
--
-- lo, hi    bounds of the scores, as ZCOUNT takes them; infinite if rotated
--
-- Answers as window.lua says. O(log n + what is told) at any rank.

local INDEX = KEYS[3]
local lo, hi = ARGV[7], ARGV[8]

local count = redis.call('ZCOUNT', INDEX, lo, hi)

local slice
if ROTATED then
  -- Counted from the end, the members without a value come first; the list is cut where the others end.
  local without = redis.call('ZCOUNT', INDEX, '+inf', '+inf')
  local with = count - without
  slice = function(first, last)
    if last < with then
      return redis.call('ZRANGE', INDEX, without + first, without + last, 'REV')
    end
    if first >= with then
      return redis.call('ZRANGE', INDEX, first - with, last - with, 'REV')
    end
    local ids = redis.call('ZRANGE', INDEX, without + first, without + with - 1, 'REV')
    for _, id in ipairs(redis.call('ZRANGE', INDEX, 0, last - with, 'REV')) do
      ids[#ids + 1] = id
    end
    return ids
  end
else
  -- Members in front of the list, counted in its direction.
  local ahead
  if DESCENDING then
    ahead = redis.call('ZCOUNT', INDEX, lo, '+inf') - count
  else
    ahead = redis.call('ZCARD', INDEX) - redis.call('ZCOUNT', INDEX, lo, '+inf')
  end
  slice = function(first, last)
    if DESCENDING then
      return redis.call('ZRANGE', INDEX, ahead + first, ahead + last, 'REV')
    end
    return redis.call('ZRANGE', INDEX, ahead + first, ahead + last)
  end
end

return answer(count, function(first, last, step)
  if step == 1 then
    return slice(first, last)
  end
  local ids = {}
  for rank = first, last, step do
    ids[#ids + 1] = slice(rank, rank)[1]
  end
  return ids
end, INDEX)
