-- One document, or whether it is there, and what that reflects.
--
--   EVALSHA <sha> 2 <doc> <position> HGET|HEXISTS <group id>
--
-- doc       hash  group id -> JSON document
-- position  hash  <topic>/<partition> -> next offset to apply
--
-- Answers {document or nil, or 1 or 0; position}. Reads only.

return {redis.call(ARGV[1], KEYS[1], ARGV[2]), redis.call('HGETALL', KEYS[2])}
