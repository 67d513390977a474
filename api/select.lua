-- Part of what passes several filters: the filter with the fewest members lists them, the others are probed.
--
--   EVALSHA <sha> <n> <row> <rest> <text> <by:id> <by:sort> [<of:field:value> | <by:field>]... <position>
--     <the six of window.lua> <arguments>
--
-- row             hash        group id -> JSON object of the default fields
-- rest            hash        group id -> what follows them in the document
-- text            hash        group id -> casefolded id, 0xFF, casefolded customer id
-- by:id           sorted set  every group id
-- by:sort         sorted set  every group id in the order of the list
-- of:field:value  sorted set  group ids with that value, scored by created_at
-- by:field        sorted set  every group id, scored by a field that a range filters
-- position        hash        <topic>/<partition> -> next offset to apply
--
-- arguments: a msgpack map; keys are given by their number in KEYS
--   ids         list of group ids, a filter if by_id
--   values      for each filtered field the list of its sets, any of which will do
--   ranges      {key, sorted: it is by:sort, bounds: disjoint, ascending {lo, hi} as ZCOUNT takes them}
--   needle      casefolded text to be found in `text`; empty: no filter
--   by_created  by:sort is scored by created_at
--
-- Answers as window.lua says.
-- Strings are never compared here: Lua's `<` follows the locale. Ranks in by:sort carry the order of ids.

-- Where the order of the list begins in by:sort: rotated, it is with the members of score +inf, at the end.
local card = redis.call('ZCARD', BY_SORT)
local without = ROTATED and redis.call('ZCOUNT', BY_SORT, '+inf', '+inf') or 0

local function everything()
  return {
    size = card,
    ordered = true,
    list = function()
      local ids = {}
      if without > 0 then
        ids = redis.call('ZRANGE', BY_SORT, card - without, card - 1)
      end
      if without < card then
        append(ids, redis.call('ZRANGE', BY_SORT, 0, card - without - 1))
      end
      return ids
    end,
  }
end

local function matching(sides)
  table.sort(sides, function(a, b) return a.size < b.size end)
  local driver = sides[1]
  if driver.size == 0 then
    return {}, true
  end
  local ids = driver.list()
  for i = 2, #sides do
    if sides[i].probe then
      ids = sides[i].probe(ids)
    end
  end
  if q.needle ~= '' then
    ids = probed(ids, 'HMGET', TEXT, function(text)
      return text and string.find(text, q.needle, 1, true) ~= nil
    end)
  end
  return ids, driver.ordered
end

-- `ids` in the ascending order of by:sort, or nil and an error reply.
local function sorted(ids)
  local ranks, at = {}, {}
  for i, id in ipairs(ids) do
    local rank = redis.call('ZRANK', BY_SORT, id)
    if not rank then
      return nil, redis.error_reply('MISSING ' .. id)
    end
    rank = (rank + without) % card
    ranks[i] = rank
    at[rank] = id
  end
  table.sort(ranks)
  local ordered = {}
  for i, rank in ipairs(ranks) do
    ordered[i] = at[rank]
  end
  return ordered
end

local sides = {everything()}
if q.by_id then
  sides[#sides + 1] = side_of_ids()
end
for _, range in ipairs(q.ranges) do
  sides[#sides + 1] = side_of_range(range)
end
for _, numbers in ipairs(q.values) do
  sides[#sides + 1] = side_of_values(numbers)
end

local ids, ordered = matching(sides)
local count = #ids

return answer(count, function(first, last)
  if not ordered then
    local fault
    ids, fault = sorted(ids)
    if fault then
      return nil, fault
    end
    ordered = true
  end
  local part = {}
  for place = first + 1, last + 1 do
    part[#part + 1] = ids[DESCENDING and count + 1 - place or place]
  end
  return part
end, BY_SORT)
