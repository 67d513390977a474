-- One document, or whether it is there, and what that reflects.
--
--   EVALSHA <sha> 4 <row> <rest> <position> <absent> read|look <group id>
--
-- row       hash  group id -> JSON object of the default fields
-- rest      hash  group id -> what follows them in the document, from the comma to the last brace
-- position  hash  <topic>/<partition> -> next offset to apply
--
-- Answers {position, document}, with 1 for the document where it was only looked for, nil where there is none.
-- Reads only.

local command, group_id = ARGV[1], ARGV[2]
local found = redis.call('HEXISTS', KEYS[1], group_id) == 1
if found and command == 'read' then
  found = string.sub(redis.call('HGET', KEYS[1], group_id), 1, -2) .. redis.call('HGET', KEYS[2], group_id)
end
return {redis.call('HGETALL', KEYS[3]), found}
