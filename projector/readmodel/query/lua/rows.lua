-- Rows of some groups, as they are now, and their records if these are wanted: as many as are not too large together.
--
--   EVALSHA <sha> 4 <row> <record> <position> <absent> <nonce> <records> <bytes> <members>
--
-- meta     hash  `nonce` of the generation
-- row      hash  member -> head and default fields; of listed groups
-- record   hash  member -> the orders of the group
--
-- nonce    of the generation that is meant
-- records  1: these, too
-- bytes    of rows and records, after which the rest is left to another call
-- members  of the groups, joined
--
-- Answers {rows, records} of the first groups, at least one, nil for one that is not listed; or nil if the generation
-- is not there. Its keys are deleted one by one, in any order, so each that is read has to be there. Reads only.
local shard, rows = shard, rows

local NONCE, HAS_RECORDS, BYTES, MEMBERS = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4]
-- Groups that are read by one command: a command may read more than fit into the answer, which takes time.
local GROUPS = 32

local wanted = HAS_RECORDS and {shard.row, shard.record} or {shard.row}
local nonce = redis.call('HGET', shard.prefix .. 'meta', 'nonce') or ''
if nonce ~= NONCE or redis.call('EXISTS', unpack(wanted)) < #wanted then
  return false
end
local found, records, bytes = {}, {}, 0
local at = 1
while at <= #MEMBERS and bytes < BYTES do
  local ordinals, is_listed = {}, {}
  while at <= #MEMBERS and #ordinals < GROUPS do
    ordinals[#ordinals + 1] = struct.unpack('>I4', MEMBERS, at)
    at = at + 4
  end
  for _, ordinal in ipairs(rows.listed(ordinals)) do
    is_listed[ordinal] = true
  end
  local read = HAS_RECORDS and redis.call('HMGET', shard.record, unpack(shard.members_of(ordinals)))
  for i, ordinal in ipairs(ordinals) do
    local row, record = is_listed[ordinal] and rows.of(ordinal), false
    if row and read then
      record = read[i]
      if not record then
        return redis.error_reply('MISSING record of ' .. ordinal)
      end
    end
    found[#found + 1], records[#records + 1] = row or false, record
    bytes = bytes + (row and #row or 0) + (record and #record or 0)
  end
end
return {found, records}
