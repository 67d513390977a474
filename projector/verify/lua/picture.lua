-- What a shard holds of some groups, all of one snapshot. Reads only.
--
--   EVALSHA picture 2 <prefix>position <prefix>absent <head> <argument> ...
--
-- The prefix is og:{<generation>.<shard>}: and every key below has it, hence one slot.
--   absent           never exists, so that nothing is read while the slot migrates
--   position   hash  <topic>/<partition> -> next offset
--   ordinal    hash  group id -> member, four bytes
--   record     hash  member -> bytes
--   row        hash  member -> bytes
--   text       hash  number of a chunk of 128 lines -> bytes
--   by:*, of:* zset  member, scored
--   bits:*   string  bitmaps over ordinals
--
-- head: a msgpack array of
--   by_id      whether the arguments are group ids, or the members themselves
--   with_text  whether chunks of text are wanted
--   bitmaps    names: the bit of each group is wanted
--   sets       for each sorted set wanted: {name, number of a group among the arguments, from 1, ...}
--   parked     names of parked records: whether they are there is wanted
--
-- Answers {position, groups, members, records, rows, chunks, bits, scores, others, parked}: `groups` is how many of the
-- arguments are answered, from the first; the others would have made it too large.
--   members    of each group, false without one
--   chunks     {number, bytes, ...}: those with the lines of the groups
--   bits       for each group a string with a digit 0 or 1 for each of `bitmaps`; empty without a member
--   scores     for each of `sets`, those of its groups among the answered; {} for groups without member
--   others     for each of `sets`, their bits in the set's bitmap; {} where there is none

local by_id, with_text, bitmaps, sets, parked = unpack(cmsgpack.unpack(ARGV[1]), 1, 5)
local prefix = string.sub(KEYS[1], 1, -9)

-- Bytes of records, of which one more group may still go beyond.
local BYTES_MAX = 256 * 1024
local LINES = 128

local function fields(name, members)
  if #members == 0 then
    return {}
  end
  return redis.call('HMGET', prefix .. name, unpack(members))
end

-- For groups without a member: no field or member of a set is empty.
local NONE = ''

local members, answered, bytes = {}, {}, 0
for i = 2, #ARGV do
  local member = not by_id and ARGV[i] or redis.call('HGET', prefix .. 'ordinal', ARGV[i])
  local size = member and redis.call('HSTRLEN', prefix .. 'record', member) or 0
  if i > 2 and bytes + size > BYTES_MAX then
    break
  end
  bytes = bytes + size
  members[i - 1] = member or NONE
  answered[i - 1] = member
end

-- The ordinal in decimal; nil without a member.
local function ordinal_of(member)
  return #member == 4 and string.format('%d', struct.unpack('>I4', member)) or nil
end

local chunks, seen = {}, {}
local bits = {}
for i, member in ipairs(members) do
  local ordinal = ordinal_of(member)
  local chunk = with_text and ordinal and string.format('%d', math.floor(ordinal / LINES))
  if chunk and not seen[chunk] then
    seen[chunk] = true
    chunks[#chunks + 1] = chunk
    chunks[#chunks + 1] = redis.call('HGET', prefix .. 'text', chunk) or ''
  end
  bits[i] = {}
end
local exist = {}
for b, name in ipairs(bitmaps) do
  exist[b] = redis.call('EXISTS', prefix .. name) == 1
end
for i, member in ipairs(members) do
  local ordinal = ordinal_of(member)
  for b, name in ipairs(ordinal and bitmaps or {}) do
    bits[i][b] = exist[b] and redis.call('GETBIT', prefix .. name, ordinal) or 0
  end
  bits[i] = table.concat(bits[i])
end

local scores, others = {}, {}
for s, set in ipairs(sets) do
  local own, key = {}, prefix .. set[1]
  others[s] = {}
  local has_bitmap = redis.call('EXISTS', prefix .. 'bits:' .. set[1]) == 1
  for n = 2, #set do
    local member = members[set[n]]
    if not member then
      break
    end
    own[n - 1] = member
    if has_bitmap then
      local ordinal = ordinal_of(member)
      others[s][n - 1] = ordinal and redis.call('GETBIT', prefix .. 'bits:' .. set[1], ordinal) or 0
    end
  end
  scores[s] = #own > 0 and redis.call('ZMSCORE', key, unpack(own)) or own
end

local there = {}
for i, name in ipairs(parked) do
  there[i] = redis.call('HEXISTS', prefix .. 'parked', name) + redis.call('HEXISTS', prefix .. 'discarded', name)
end

return {
  redis.call('HGETALL', KEYS[1]), #members, answered, fields('record', members), fields('row', members),
  chunks, bits, scores, others, there,
}
