-- Which groups have some ordinals, and what places them in a list.
--
--   EVALSHA <sha> 3 <ordinal> <by:sort> <absent> <ordinals>...
--
-- ordinal  sorted set  group id, scored by its ordinal
-- by:sort  sorted set  every group id in the order of the list
--
-- Answers {ids, scores}; nil for a score that is not there any more.

local ids = {}
for i, rank in ipairs(ARGV) do
  ids[i] = redis.call('ZRANGE', KEYS[1], rank, rank)[1] or ''
end
return {ids, redis.call('ZMSCORE', KEYS[2], unpack(ids))}
