-- In front of all that reads lists: which part of one is told, and how.
--
-- ARGV[1..6]: <descending> <rotated> <heads> <from> <to> <step>
--
-- descending  1: the list begins with the highest rank
-- rotated     1, with descending: the members with the score +inf come last
-- heads       1: only the default fields
-- from, to    ranks in this shard's list, from 0, without `to` itself
-- step        0: the documents in between, joined by commas: a shard that is alone
--             1: the documents in between, each beside what places it among those of other shards
--             n: every n-th place in between, without its document
--
-- Answers {position, count, documents} for step 0, else {position, count, ids, scores, documents}. Count and all
-- else are of one instant, which the position tells. Reads only.

-- The last key: hash, <topic>/<partition> -> next offset to apply.
local POSITION = KEYS[#KEYS]
local PREFIX = string.sub(POSITION, 1, -9)

-- The hashes that hold the two parts of each document: KEYS[1] a JSON object of the default fields, KEYS[2] what
-- follows them, from the comma to the last brace.
local ROW, REST = KEYS[1], KEYS[2]

local DESCENDING, ROTATED, HEADS = ARGV[1] == '1', ARGV[2] == '1', ARGV[3] == '1'
local FROM, TO, STEP = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- The documents of `ids`; nil and an error reply if one is missing: an index must never name a group that is not there.
local function documents(ids)
  if #ids == 0 then
    return {}
  end
  local docs = redis.call('HMGET', ROW, unpack(ids))
  local rests = not HEADS and redis.call('HMGET', REST, unpack(ids))
  for i, doc in ipairs(docs) do
    if not doc or rests and not rests[i] then
      return nil, redis.error_reply('MISSING ' .. ids[i])
    end
    if rests then
      docs[i] = string.sub(doc, 1, -2) .. rests[i]
    end
  end
  return docs
end

-- `slice(first, last, step)` answers the ids of every step-th of these ranks of the list, both included, or nil and an
-- error reply; `scored` is the sorted set that the list is ordered by.
local function answer(count, slice, scored)
  local position = redis.call('HGETALL', POSITION)
  local last = math.min(TO, count) - 1
  local ids, docs, fault = {}, {}, nil
  if FROM <= last then
    ids, fault = slice(FROM, last, math.max(STEP, 1))
    if not fault and STEP <= 1 then
      docs, fault = documents(ids)
    end
    if fault then
      return fault
    end
  end
  if STEP == 0 then
    return {position, count, table.concat(docs, ',')}
  end
  return {position, count, ids, #ids > 0 and redis.call('ZMSCORE', scored, unpack(ids)) or ids, docs}
end
