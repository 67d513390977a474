-- In front of all that reads lists: which part of one is told, and how.
--
-- ARGV[1..6]: <descending> <rotated> <from> <to> <step> <parts>
--
-- descending  1: the list begins with the highest rank
-- rotated     1, with descending: the members with the score +inf come last
-- from, to    ranks in this shard's list, from 0, without `to` itself
-- step        0: all in between, of a shard that is alone
--             1: all in between, each beside what places it among those of other shards
--             n: every n-th place in between, or one near it: see page.lua; `parts` is 0
-- parts       2: whole documents; 1: only the default fields; 0: none, for who asks reads them afterwards
--             -1, -2: none either, but of those that he does not know some are told. Behind all other arguments there are
--                <ids> <bits> <ordinals> <last> <change> <changes> <most>: what he knows, the ids of some groups as a
--                msgpack array, and others by ordinals; since when, see changes.lua; how many groups may have changed
--                since, and how many are told
--
-- Answers {position, count, documents} for step 0, else {position, count, ids, scores, documents}.
-- Where who asks reads documents afterwards it is {position, count, ids, scores, moment}, see changes.lua; no scores for
-- step 0. If ids would take too long to list, it is {position, -4, count, places, moment}, where a place is {id, score}, or
-- many are {bits, base, first, last}: of the groups with these ordinals, from the byte `base` on, those at these ranks,
-- both included.
-- To parts -1 and -2 there is one more: {changed, ids, documents, ordinals, scores}. `changed` is {ids, ordinals} of what
-- came or changed, nil if it may be all that he knows; then there are ids and documents of some groups that he does not
-- know, of the first of them also ordinals and scores, for they are among the bits.
-- Count and all else are of one instant, which the position tells. Reads only.

-- The hashes that hold the two parts of each document: KEYS[1] a JSON object of the default fields, KEYS[2] what
-- follows them, from the comma to the last brace.
local ROW, REST = KEYS[1], KEYS[2]

local DESCENDING, ROTATED = ARGV[1] == '1', ARGV[2] == '1'
local FROM, TO, STEP, PARTS = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- The documents of `ids`; nil and an error reply if one is missing: an index must never name a group that is not there.
local function documents(ids)
  if #ids == 0 then
    return {}
  end
  local docs = redis.call('HMGET', ROW, unpack(ids))
  local rests = math.abs(PARTS) == 2 and redis.call('HMGET', REST, unpack(ids))
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
local ARGUMENTS = PARTS < 0 and #ARGV - 7 or #ARGV

-- Whether some places are told as bits.
local unlisted = false

local function places(ids, scored)
  local found = {}
  for i, id in ipairs(ids) do
    found[i] = type(id) == 'table' and id or {id, redis.call('ZSCORE', scored, id)}
  end
  return found
end

-- Of what came or changed since who asks began: ids, ordinals. Nil if that may be all that he knows.
local changes_told
local function changes()
  if not changes_told then
    local ordinals, last, change, most = unpack(ARGV, ARGUMENTS + 3)
    local ids, _, is_all, numbers = changed_since(ordinals, last, change, tonumber(most))
    changes_told = {is_all and ids or nil, is_all and numbers or nil}
  end
  return changes_told[1], changes_told[2]
end

-- How many groups may still be told that who asks does not know.
local left_to_tell = PARTS < 0 and tonumber(ARGV[#ARGV]) or 0

-- Of `ids` those that he does not know.
local function unknown(ids)
  local changed, known, found = changes(), {}, {}
  for _, id in ipairs(#ids > 0 and changed and cmsgpack.unpack(ARGV[ARGUMENTS + 1]) or {}) do
    known[id] = true
  end
  for _, id in ipairs(changed or {}) do
    known[id] = nil
  end
  for _, id in ipairs(ids) do
    if not known[id] and #found < left_to_tell then
      found[#found + 1] = id
    end
  end
  return found
end

-- What of the places `ids` is not known to who asks, see above; nil and an error reply where something is missing. Of
-- bits it was found out when they were made.
local function news(ids, scored)
  local named, listed, told = {}, {}, {}
  for _, place in ipairs(ids) do
    if type(place) == 'string' then
      named[#named + 1] = place
    else
      for _, ordinal in ipairs(place.unknown) do
        listed[#listed + 1], told[#told + 1] = ordinal, id_of(ordinal)
      end
    end
  end
  local scores = #told > 0 and redis.call('ZMSCORE', scored, unpack(told)) or {}
  for i, id in ipairs(told) do
    if not scores[i] then
      return nil, redis.error_reply('MISSING ' .. id)
    end
  end
  for _, id in ipairs(unknown(named)) do
    told[#told + 1] = id
  end
  local docs, fault = documents(told)
  local changed, numbers = changes()
  return docs and {changed and {changed, numbers} or false, told, docs, listed, scores}, fault
end

-- `slice(first, last, step)` answers the ids of every step-th of these ranks of the list, both included, or nil and an
-- error reply; `scored` is the sorted set that the list is ordered by.
local function answer(count, slice, scored)
  local position = redis.call('HGETALL', POSITION)
  local last = math.min(TO, count) - 1
  local ids, docs, fault = {}, {}, nil
  if FROM <= last then
    ids, fault = slice(FROM, last, math.max(STEP, 1))
    if not fault and PARTS > 0 then
      docs, fault = documents(ids)
    end
    if fault then
      return fault
    end
  end
  if STEP == 0 and PARTS > 0 then
    return {position, count, docs}
  end
  local reply
  if unlisted then
    reply = {position, -4, count, places(ids, scored), now()}
  else
    local scores = STEP > 0 and #ids > 0 and redis.call('ZMSCORE', scored, unpack(ids)) or {}
    for i, score in ipairs(scores) do
      if not score then
        return redis.error_reply('MISSING ' .. ids[i])
      end
    end
    reply = {position, count, ids, scores, PARTS <= 0 and STEP <= 1 and now() or docs}
  end
  if PARTS < 0 then
    reply[6], fault = news(ids, scored)
  end
  return fault or reply
end
