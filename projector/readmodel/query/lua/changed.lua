-- Whether some groups are as they were as of a commit.
--
--   EVALSHA <sha> 2 <position> <absent> <commit> <digest> <members>
--
-- members  of the groups, joined
--
-- Answers 1 if none was changed since; 0 if one was, or that is not known: as while a commit is unfinished, whose
-- records may have been written, and not be among the changes.
local shard, changes = shard, changes

-- More groups are not compared.
local CHANGES = 1000

local changed, reached = changes.since(tonumber(ARGV[1]), ARGV[2], CHANGES)
if not changed or reached ~= changes.newest() or redis.call('HEXISTS', shard.position, 'unfinished') == 1 then
  return 0
end
local is_changed = {}
for _, ordinal in ipairs(changed) do
  is_changed[ordinal] = true
end
for at = 1, #ARGV[3], 4 do
  if is_changed[struct.unpack('>I4', ARGV[3], at)] then
    return 0
  end
end
return 1
