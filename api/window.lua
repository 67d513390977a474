-- In front of all that reads lists: which part of one is told, and how.
--
-- ARGV[1..6]: <descending> <rotated> <from> <to> <step> <parts>
--
-- descending  1: the list begins with the highest rank
-- rotated     1, with descending: the members with the score +inf come last
-- from, to    ranks in this shard's list, from 0, without `to` itself
-- step        0: all in between, of a shard that is alone
--             1: all in between, each beside what places it among those of other shards
--             n: every n-th place in between; `parts` is 0
--            -1: as 0, but for documents that who asks has read already: behind all other arguments there are
--                <ids> <ordinals> <last> <change> <most>: theirs, as a msgpack array; since when none of them may have
--                changed, see changes.lua; and how many changes are looked at
-- parts       2: whole documents; 1: only the default fields; 0: none, for who asks reads them afterwards
--             -1, -2: as 1 and 2, and ids have to be listed in this call, however long that takes
--
-- Answers {position, count, documents} for step 0, else {position, count, ids, scores, documents}.
-- Where who asks reads documents afterwards it is {position, count, ids, scores, moment}, see changes.lua; no scores for
-- step 0. If ids would take too long to list, it is {position, -4, count, places, moment}, where a place is {id, score}, or
-- many are {bits, base, first, last}: of the groups with these ordinals, from the byte `base` on, those at these ranks,
-- both included.
-- For step -1 it is {position, count, ids, documents}, where those that are known are nil.
-- Count and all else are of one instant, which the position tells. Reads only.

-- The hashes that hold the two parts of each document: KEYS[1] a JSON object of the default fields, KEYS[2] what
-- follows them, from the comma to the last brace.
local ROW, REST = KEYS[1], KEYS[2]

local DESCENDING, ROTATED = ARGV[1] == '1', ARGV[2] == '1'
local FROM, TO, STEP, PARTS = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), math.abs(tonumber(ARGV[6]))
local INSISTS = tonumber(ARGV[6]) < 0

-- The documents of `ids`; nil and an error reply if one is missing: an index must never name a group that is not there.
local function documents(ids)
  if #ids == 0 then
    return {}
  end
  local docs = redis.call('HMGET', ROW, unpack(ids))
  local rests = PARTS == 2 and redis.call('HMGET', REST, unpack(ids))
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

-- Where the arguments of other scripts end.
local ARGUMENTS = STEP == -1 and #ARGV - 5 or #ARGV

-- The documents of `ids`, false for those that are known.
local function unknown(ids)
  local names, ordinals, last, change, most = unpack(ARGV, ARGUMENTS + 1)
  local changed, _, is_all = changed_since(ordinals, last, change, tonumber(most))
  local known, wanted, found = {}, {}, {}
  for _, id in ipairs(is_all and cmsgpack.unpack(names) or {}) do
    known[id] = true
  end
  for _, id in ipairs(is_all and changed or {}) do
    known[id] = nil
  end
  for _, id in ipairs(ids) do
    if not known[id] then
      wanted[#wanted + 1] = id
    end
  end
  local docs, fault = documents(wanted)
  if fault then
    return nil, fault
  end
  local n = 0
  for i, id in ipairs(ids) do
    n = n + (known[id] and 0 or 1)
    found[i] = not known[id] and docs[n]
  end
  return found
end

-- Whether some places are told as bits.
local unlisted = false

local function places(ids, scored)
  local found = {}
  for i, id in ipairs(ids) do
    found[i] = type(id) == 'table' and id or {id, redis.call('ZSCORE', scored, id)}
  end
  return found
end

-- `slice(first, last, step)` answers the ids of every step-th of these ranks of the list, both included, or nil and an
-- error reply; `scored` is the sorted set that the list is ordered by.
local function answer(count, slice, scored)
  local position = redis.call('HGETALL', POSITION)
  local last = math.min(TO, count) - 1
  local ids, docs, fault = {}, {}, nil
  if FROM <= last then
    ids, fault = slice(FROM, last, math.max(STEP, 1))
    if not fault and STEP <= 1 and PARTS > 0 and not unlisted then
      docs, fault = (STEP == -1 and unknown or documents)(ids)
    end
    if fault then
      return fault
    end
  end
  if unlisted then
    return {position, -4, count, places(ids, scored), now()}
  end
  if STEP == -1 then
    return {position, count, ids, docs}
  end
  if STEP == 0 and PARTS > 0 then
    return {position, count, docs}
  end
  local scores = STEP > 0 and #ids > 0 and redis.call('ZMSCORE', scored, unpack(ids)) or {}
  return {position, count, ids, scores, PARTS == 0 and STEP <= 1 and now() or docs}
end
