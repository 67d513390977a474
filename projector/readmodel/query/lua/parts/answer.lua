-- The answer of a script that reads a list. Its arguments:
--
--   <query> <first> <end> <step> <record bytes> <explain> ...
--
-- query         a msgpack map, see the script
-- first, end    ranks in this shard's list, from 0, without `end`
-- step          1: all of them. More: every step-th, and of its row only the head
-- record bytes  records are returned, too, until they are that large together; 0: none
-- explain       1: the steps are returned
--
-- It is {position, count, ordinals, rows, records, commit, plan, steps, passed}. `records` is as long as fits, `commit`
-- is {number, digest} of the newest commit that changed groups, both only if records are wanted. `passed`: how many
-- groups precede the page of a walk, whose ranks count from there. All are of one snapshot, whose position is returned.
-- In place of a count there may be another text, see combine.lua.
--
-- position  hash  <topic>/<partition> -> next offset to apply
-- record    hash  member -> the orders of the group
local shard, rows, changes = shard, rows, changes

local FIRST, PAST, STEP = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local RECORD_BYTES, EXPLAIN = tonumber(ARGV[5]), ARGV[6] == '1'
local HEAD_BYTES = 34
-- Records that are read by one command: a command may read more than fit into the answer, which takes time.
local RECORDS = 50

local function records_of(ordinals)
  local records, bytes, at = {}, 0, 1
  while at <= #ordinals and bytes < RECORD_BYTES do
    local some = {unpack(ordinals, at, math.min(at + RECORDS - 1, #ordinals))}
    for i, record in ipairs(redis.call('HMGET', shard.record, unpack(shard.members_of(some)))) do
      if not record then
        return nil, redis.error_reply('MISSING record of ' .. some[i])
      end
      records[#records + 1] = record
      bytes = bytes + #record
    end
    at = at + RECORDS
  end
  return records
end

-- `at(first, last, step)` returns the ordinals at the ranks first, first + step, ..., last of what comes after the
-- first `passed` groups.
local function of(plan, count, steps, at, _, passed)
  local more = math.floor((math.min(PAST, count - passed) - 1 - FIRST) / STEP)
  local ordinals, found = more >= 0 and at(FIRST, FIRST + more * STEP, STEP) or {}, {}
  if #rows.listed(ordinals) < #ordinals then
    return redis.error_reply('MISSING row of a group in the indexes')
  end
  for i, ordinal in ipairs(ordinals) do
    found[i] = STEP == 1 and rows.of(ordinal) or string.sub(rows.of(ordinal), 1, HEAD_BYTES)
  end
  local reply = {redis.call('HGETALL', shard.position), count, ordinals, found, {}, {}, plan, steps, passed}
  if RECORD_BYTES > 0 then
    local records, fault = records_of(ordinals)
    if fault then
      return fault
    end
    reply[5], reply[6] = records, {changes.newest()}
  end
  return reply
end

return {of = of, explain = EXPLAIN, first = FIRST, past = PAST}
