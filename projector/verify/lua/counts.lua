-- Which values are counted wrongly. Reads only.
--
--   EVALSHA counts 2 <prefix>position <prefix>absent <field> <value> ...
--
-- The prefix is og:{<generation>.<shard>}: and every key has it. `position` only names the prefix. `absent` never
-- exists, so that nothing is read while the slot migrates.
--
--   of:<field>:<value>  sorted set  the groups of a value
--   values:<field>      sorted set  values, scored by the number of their groups
--
-- Answers {value, groups, score, ...}: of those where they differ; an empty score where the value is not there.

local prefix = string.sub(KEYS[1], 1, -9)
local field = ARGV[1]
local found = {}

for i = 2, #ARGV do
  local groups = redis.call('ZCARD', prefix .. 'of:' .. field .. ':' .. ARGV[i])
  local score = redis.call('ZSCORE', prefix .. 'values:' .. field, ARGV[i])
  if (tonumber(score) or 0) ~= groups or score and groups == 0 then
    found[#found + 1] = ARGV[i]
    found[#found + 1] = groups
    found[#found + 1] = score or ''
  end
end
return found
