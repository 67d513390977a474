-- Reports which chunks of the text of a shard changed since a commit.
--
--   EVALSHA <sha> 4 <changed> <ordinals> <position> <absent> <number> <digest>
--
-- changed         sorted set  see parts/changes.lua
-- ordinals        string      the first ordinal that was never reserved
-- position        hash        <topic>/<partition> -> next offset to apply; `unfinished`
-- number, digest  the commit, 0 and '' for the state before the first one; -1 if no text was read yet
--
-- Answers {number, digest, is_newest, chunks}: who reads these chunks after this call has all that the commit with that
-- number and digest wrote. `is_newest`: 1 if there is no later one. `chunks` is a list of their numbers; or how many
-- there are, where all have to be read, since it is not known what changed.
-- Answers nil while a commit is unfinished: its chunks may still be written although `changed` has it. Reads only.

local LINES = 128
-- Changed groups from which on the rest is left to another call.
local GROUPS_MAX = 500

local known = tonumber(ARGV[1])
if redis.call('HEXISTS', shard.position, 'unfinished') == 1 then
  return false
end
local ordinals, number, digest
if known >= 0 then
  ordinals, number, digest = changes.since(known, ARGV[2], GROUPS_MAX)
end
local newest, its_digest = changes.newest()
if not ordinals then
  return {newest, its_digest, 1, math.ceil(tonumber(redis.call('GET', KEYS[2]) or 0) / LINES)}
end
local chunks, seen = {}, {}
for _, ordinal in ipairs(ordinals) do
  local chunk = math.floor(ordinal / LINES)
  if not seen[chunk] then
    seen[chunk], chunks[#chunks + 1] = true, chunk
  end
end
return {number, digest, number == newest and 1 or 0, chunks}
