-- Which groups are not as they were at some moment.
--
--   EVALSHA <sha> 2 <position> <absent> <ordinals> <last> <change> <most>
--
-- position  hash        <topic>/<partition> -> next offset to apply
-- ordinal   sorted set  group id, scored by its ordinal
-- changed   sorted set  see bits.lua
--
-- ordinals, last, change  the moment: see changes.lua
-- most                    groups that are looked up
--
-- Answers the ids of those that came or changed since; nil where that is not known, or they are more. It is not known while
-- a commit is unfinished: documents may have been written, and not be told as changed.

if redis.call('HEXISTS', POSITION, 'unfinished') == 1 then
  return false
end
local ids, _, is_all = changed_since(ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]))
return is_all and ids or false
