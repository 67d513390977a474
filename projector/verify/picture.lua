#!lua flags=no-writes
-- What a shard holds of some groups, and how large some of its keys are: all of it at one instant.
--
--   EVALSHA picture 1 <prefix>position <head> <group id> ...
--
-- The prefix is og:{<generation>.<shard>}: and every key below has it, hence one slot; only the first is declared.
--   position   hash  <topic>/<partition> -> next offset
--   row        hash  group id -> JSON object of the list's default fields
--   rest       hash  group id -> what follows them in the document
--   text       hash  group id -> what q looks through
--   state      hash  group id -> 8 bytes of revision, orders in msgpack
--   parked     hash  <topic>/<partition>@<offset> -> JSON
--   by:*, of:* zset  group id, scored
--
-- head: a msgpack array of
--   documents  whether row, rest, text and state of the groups are wanted
--   indexes    for each index wanted: {name, number of a group among the arguments, from 1, ...}
--   sizes      names of keys: the number of members or fields is wanted
--   parked     names of parked records: whether they are there is wanted
--
-- Answers {position, groups, row, rest, text, state, scores, sizes, parked}: `groups` tells how many of the groups are
-- answered, from the first; the others would have made it too large. For each index `scores` has those of its groups
-- among them. Reads only.

local documents, indexes, sizes, parked = unpack(cmsgpack.unpack(ARGV[1]), 1, 4)
local prefix = string.sub(KEYS[1], 1, -9)

-- Bytes of documents and states, of which one more group may still go beyond.
local BYTES_MAX = 256 * 1024

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
  answer[2 + i] = documents and #ids > 0 and redis.call('HMGET', prefix .. name, unpack(ids)) or {}
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
  local third = string.sub(name, 3, 3)
  found[i] = redis.call(third == ':' and 'ZCARD' or 'HLEN', prefix .. name)
end
answer[8] = found

local there = {}
for i, name in ipairs(parked) do
  there[i] = redis.call('HEXISTS', prefix .. 'parked', name)
end
answer[9] = there
return answer
