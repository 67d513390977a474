-- What commits changed in a shard since one of them.
--
--   EVALSHA <sha> 3 <row> <position> <absent> <number> <digest> <most>
--
-- row             hash        member -> head and default fields; of listed groups
-- position        hash        <topic>/<partition> -> next offset to apply
-- changed         sorted set  see parts/changes.lua
-- number, digest  the commit; -1 to learn of the newest one only; an empty digest is not compared
--
-- Answers {position, number and digest of the newest commit, is_known, rows}. `is_known`: 0 if it is not known what
-- changed since. `rows`: of the changed groups; nil if they are more than `most`, or one is not listed, and so no row
-- names it. Reads only.
local shard, changes = shard, changes

local number, digest, most = tonumber(ARGV[1]), ARGV[2] ~= '' and ARGV[2] or nil, tonumber(ARGV[3])

local function rows_of(ordinals)
  if #ordinals > most then
    return nil
  end
  local rows = {}
  shard.in_parts(shard.members_of(ordinals), function(members)
    for _, row in ipairs(redis.call('HMGET', shard.row, unpack(members))) do
      rows[#rows + 1] = row or nil
    end
  end)
  return #rows == #ordinals and rows or nil
end

local newest, its_digest = changes.newest()
local is_known, rows = 1, {}
if number >= 0 then
  local ordinals, reached = changes.since(number, digest, most)
  is_known = ordinals and 1 or 0
  rows = ordinals and reached == newest and rows_of(ordinals)
end
return {redis.call('HGETALL', shard.position), newest, its_digest, is_known, rows or false}
