-- One group, or whether it is listed, and what that reflects.
--
--   EVALSHA <sha> 5 <ordinal> <row> <record> <position> <absent> read|look <group id>
--
-- ordinal   hash  group id -> member
-- row       hash  member -> head and default fields; of listed groups
-- record    hash  member -> the orders of the group
-- position  hash  <topic>/<partition> -> next offset to apply
--
-- Answers {position, record}, with 1 for the record where it was only looked for, nil for a group that is not listed.
-- Reads only.

local command, group_id = ARGV[1], ARGV[2]
local member = redis.call('HGET', KEYS[1], group_id)
local found = member and redis.call('HEXISTS', KEYS[2], member) == 1
if found and command == 'read' then
  found = redis.call('HGET', KEYS[3], member)
  if not found then
    return redis.error_reply('MISSING record of ' .. group_id)
  end
end
return {redis.call('HGETALL', KEYS[4]), found}
