-- The sellers of some groups, as they are now.
--
--   EVALSHA <sha> 3 <row> <position> <absent> <nonce> <members>
--
-- meta     hash  `nonce` of the generation
-- row      hash  see rows.lua; of listed groups
--
-- nonce    of the generation that is meant
-- members  of the groups, joined
--
-- Answers of each group its sellers joined by 0xFF, empty for one that is not listed; or nil if the generation is not
-- there. Its keys are deleted one by one, in any order, so each that is read has to be there. Reads only.
local shard, rows = shard, rows

local NONCE, MEMBERS = ARGV[1], ARGV[2]

local nonce = redis.call('HGET', shard.prefix .. 'meta', 'nonce') or ''
if nonce ~= NONCE or redis.call('EXISTS', shard.row) == 0 then
  return false
end
local ordinals = {}
for at = 1, #MEMBERS, 4 do
  ordinals[#ordinals + 1] = struct.unpack('>I4', MEMBERS, at)
end
return rows.sellers(ordinals)
