-- What a shard holds of some groups, and how large some of its keys are: all of it at one instant.
--
--   EVALSHA picture 2 <prefix>position <prefix>absent <head> <group id> ...
--
-- The prefix is og:{<generation>.<shard>}: and every key below has it, hence one slot.
--   absent           never exists, so that nothing is read while the slot migrates
--   position   hash  <topic>/<partition> -> next offset
--   row        hash  group id -> JSON object of the list's default fields
--   rest       hash  group id -> what follows them in the document
--   text       hash  lines by ordinal, what q looks through: see lines.lua; in version 1 group id -> text
--   state      hash  group id -> 8 bytes of revision, orders in msgpack
--   parked     hash  <topic>/<partition>@<offset> -> JSON
--   discarded  hash  the same, of what was parked: the log has it still, so that it is looked for and counted with that
--   by:*, of:* zset  group id, scored
--   ordinal    zset  group id, scored by its ordinal
--   bits:*   string  bitmaps over ordinals: see buckets.lua
--
-- head: a msgpack array of
--   documents  whether row, rest, text and state of the groups are wanted
--   by_line    whether text is that of lines.lua
--   indexes    for each index wanted: {name, number of a group among the arguments, from 1, ...}
--   sizes      names of keys: the number of members, fields or bits is wanted
--   parked     names of parked records: whether they are there is wanted
--   slices     {field, number of its slices}, ...
--   id_slices  how many slices of ids there may be
--
-- Answers {position, groups, row, rest, text, state, scores, sizes, parked, ordinals, bits, members, ids}: `groups` tells
-- how many of the groups are answered, from the first; the others would have made it too large. For each index `scores`
-- has those of its groups among them.
--   ordinals   {how many there are, the largest, how many lines there are}
--   bits       for each group: {how many have its ordinal, its bit in bits:all, its bucket in each field of `slices`},
--              or {0} without an ordinal, {-1} with one that nothing can have
--   members    for each index: the bits of its groups in its bitmap, -1 for a group without an ordinal; nothing where
--              there is no bitmap
--   ids        {reference, {for each group: the slices of ids that have its bit}}; nothing where not one group alone has
--              the ordinal 0
-- Reads only.

local documents, by_line, indexes, sizes, parked, slices, id_slices = unpack(cmsgpack.unpack(ARGV[1]), 1, 7)
local prefix = string.sub(KEYS[1], 1, -9)

-- Bytes of documents and states, of which one more group may still go beyond.
local BYTES_MAX = 256 * 1024

local chunks_known = {}
local function lines_in(chunk)
  chunks_known[chunk] = chunks_known[chunk] or split_lines(redis.call('HGET', prefix .. 'text', chunk) or '')
  return chunks_known[chunk]
end

-- Nothing where a line is empty, or a chunk before the last one has not as many as it should, so that they all are off.
local function lines_of(ids)
  local last, found = redis.call('HLEN', prefix .. 'text') - 1, {}
  for i, ordinal in ipairs(redis.call('ZMSCORE', prefix .. 'ordinal', unpack(ids))) do
    local chunk, place = line_of(ordinal or -1)
    local lines = chunk >= 0 and chunk <= last and lines_in(chunk) or {}
    local line = (chunk == last or #lines == LINES) and lines[place + 1]
    found[i] = line and line ~= '' and line or false
  end
  return found
end

local function lines_in_all()
  local last = redis.call('HLEN', prefix .. 'text') - 1
  return last >= 0 and last * LINES + #lines_in(last) or 0
end

local ids, bytes = {}, 0
for i = 2, #ARGV do
  if documents then
    bytes = bytes + redis.call('HSTRLEN', prefix .. 'rest', ARGV[i]) + redis.call('HSTRLEN', prefix .. 'state', ARGV[i])
    if #ids > 0 and bytes > BYTES_MAX then
      break
    end
  end
  ids[#ids + 1] = ARGV[i]
end

local answer = {redis.call('HGETALL', KEYS[1]), #ids}
for i, name in ipairs({'row', 'rest', 'text', 'state'}) do
  if not documents or #ids == 0 then
    answer[2 + i] = {}
  elseif name == 'text' and by_line then
    answer[2 + i] = lines_of(ids)
  else
    answer[2 + i] = redis.call('HMGET', prefix .. name, unpack(ids))
  end
end

local scores = {}
for i, index in ipairs(indexes) do
  local members = {}
  for j = 2, #index do
    members[#members + 1] = ids[index[j]]
  end
  scores[i] = #members > 0 and redis.call('ZMSCORE', prefix .. index[1], unpack(members)) or members
end
answer[7] = scores

local found = {}
for i, name in ipairs(sizes) do
  local command = string.sub(name, 1, 5) == 'bits:' and 'BITCOUNT' or string.sub(name, 3, 3) == ':' and 'ZCARD' or 'HLEN'
  found[i] = redis.call(command, prefix .. name) + (name == 'parked' and redis.call('HLEN', prefix .. 'discarded') or 0)
end
answer[8] = found

local there = {}
for i, name in ipairs(parked) do
  there[i] = redis.call('HEXISTS', prefix .. 'parked', name) + redis.call('HEXISTS', prefix .. 'discarded', name)
end
answer[9] = there

local largest = redis.call('ZREVRANGE', prefix .. 'ordinal', 0, 0, 'WITHSCORES')
answer[10] = {redis.call('ZCARD', prefix .. 'ordinal'), largest[2] or '-1', by_line and lines_in_all() or 0}
answer[11], answer[12], answer[13] = {}, {}, {}
if not by_line or #indexes == 0 or #ids == 0 then
  return answer
end

-- Of all groups that have an ordinal: one call for each bitmap.
local bits, ordinals, numbers, known = {}, {}, {}, {}
for i, ordinal in ipairs(redis.call('ZMSCORE', prefix .. 'ordinal', unpack(ids))) do
  local number = tonumber(ordinal or -1)
  if not ordinal then
    bits[i] = {0}
  elseif number < 0 or number >= 2 ^ 32 or number % 1 > 0 then
    bits[i] = {-1}
  else
    bits[i] = {redis.call('ZCOUNT', prefix .. 'ordinal', ordinal, ordinal)}
    ordinals[i] = ordinal
    numbers[#numbers + 1] = i
    known[#known + 1] = number
  end
end
local ones_in = #known > 0 and reader_of_bits(known)
if ones_in then
  for _, i in ipairs(numbers) do
    for n = 2, 2 + #slices do
      bits[i][n] = 0
    end
  end
  for _, j in ipairs(ones_in(prefix .. 'bits:all')) do
    bits[numbers[j]][2] = 1
  end
  for f, slice in ipairs(slices) do
    for k = 0, slice[2] - 1 do
      for _, j in ipairs(ones_in(prefix .. 'bits:by:' .. slice[1] .. ':' .. k)) do
        local buckets = bits[numbers[j]]
        buckets[2 + f] = buckets[2 + f] + 2 ^ k
      end
    end
  end
end
answer[11] = bits

local references = redis.call('ZRANGE', prefix .. 'ordinal', 0, 0, 'BYSCORE')
if #references == 1 and ones_in then
  local found = {}
  for i = 1, #ids do
    found[i] = {}
  end
  for k = 0, id_slices - 1 do
    local key = prefix .. 'bits:by:id:' .. k
    if redis.call('EXISTS', key) == 1 then
      for _, j in ipairs(ones_in(key)) do
        table.insert(found[numbers[j]], k)
      end
    end
  end
  answer[13] = {references[1], found}
end

for i, index in ipairs(indexes) do
  local of, key = {}, prefix .. 'bits:' .. index[1]
  if string.sub(index[1], 1, 3) == 'of:' and redis.call('EXISTS', key) == 1 then
    for j = 2, #index do
      if index[j] > #ids then
        break
      end
      of[#of + 1] = ordinals[index[j]] and redis.call('GETBIT', key, ordinals[index[j]]) or -1
    end
  end
  answer[12][i] = of
end
return answer
