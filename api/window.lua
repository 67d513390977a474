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
-- parts       2: whole documents; 1: only the default fields; 0: none, for who asks reads them afterwards
--             -1, -2: none either, but of those that he does not know some are told. Behind all other arguments there are
--                <ids> <numbers> <ordinals> <last> <change> <changes> <most>: what he knows, msgpack arrays of the ids of
--                some groups and the ordinals of others; since when, see changes.lua; how many groups may have changed
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

-- What of the places `ids` is not known to who asks, see above; nil and an error reply where something is missing.
local function news(ids, scored)
  local names, numbers, ordinals, last, change, changes, most = unpack(ARGV, ARGUMENTS + 1)
  local changed, _, is_all, changed_numbers = changed_since(ordinals, last, change, tonumber(changes))
  local function missing(wanted, packed, out_of_date)
    local known, found = {}, {}
    for _, one in ipairs(#wanted > 0 and is_all and cmsgpack.unpack(packed) or {}) do
      known[one] = true
    end
    for _, one in ipairs(is_all and out_of_date or {}) do
      known[one] = nil
    end
    for _, one in ipairs(wanted) do
      if not known[one] and #found < tonumber(most) then
        found[#found + 1] = one
      end
    end
    return found
  end
  local named, listed = {}, {}
  for _, place in ipairs(ids) do
    if type(place) == 'string' then
      named[#named + 1] = place
    else
      for _, ordinal in ipairs(place.ordinals) do
        listed[#listed + 1] = ordinal
      end
    end
  end
  listed = missing(listed, numbers, changed_numbers)
  local told = {}
  for i, ordinal in ipairs(listed) do
    told[i] = id_of(ordinal)
  end
  local scores = #told > 0 and redis.call('ZMSCORE', scored, unpack(told)) or {}
  for i, id in ipairs(told) do
    if not scores[i] then
      return nil, redis.error_reply('MISSING ' .. id)
    end
  end
  for _, id in ipairs(missing(named, names, changed)) do
    told[#told + 1] = id
  end
  local docs, fault = documents(told)
  return docs and {is_all and {changed, changed_numbers} or false, told, docs, listed, scores}, fault
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
    reply = {position, count, ids, scores, PARTS <= 0 and STEP <= 1 and now() or docs}
  end
  if PARTS < 0 then
    reply[6], fault = news(ids, scored)
  end
  return fault or reply
end
