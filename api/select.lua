-- Part of what passes several filters. Where one of them has few members it lists them, and the others are probed; else
-- bitmaps are combined.
--
--   EVALSHA <sha> <n> <row> <rest> <text> <by:id> <by:sort> [<of:field:value> | <by:field>]... <position>
--     <the six of window.lua> <arguments> [<bits> <chunks> <edit>]
--
-- row             hash        group id -> JSON object of the default fields
-- rest            hash        group id -> what follows them in the document
-- text, edited    see lines.lua
-- by:id           sorted set  every group id
-- by:sort         sorted set  every group id in the order of the list
-- of:field:value  sorted set  group ids with that value, scored by created_at
-- by:field        sorted set  every group id, scored by a field that a range filters
-- ordinal         sorted set  group id, scored by its ordinal
-- bits:*          string      bitmaps over ordinals: see buckets.lua
-- bits:tmp:*      string      write: gone when the script ends
-- position        hash        <topic>/<partition> -> next offset to apply
--
-- arguments: a msgpack map; keys are given by their number in KEYS
--   ids         list of group ids, a filter if by_id
--   values      for each filtered field the list of its sets, any of which will do
--   ranges      {key, sorted: it is by:sort, bounds: disjoint, ascending {lo, hi} as ZCOUNT takes them}
--   needle      casefolded text to be found in `text`; empty: no filter
--   again       chunks of `text` that are searched here, beyond those that were searched before
--   by_created  by:sort is scored by created_at
--   tells       what is done is to be told: {step, key, groups} for each, behind all else in the answer
--   few         a filter with at most as many members lists them; else bitmaps are combined
--   walked      groups that are looked at on the way to a page, where no more are to be expected
--   listed      groups, beyond those of the page, that are listed and sorted
--
-- bits, chunks, edit, with a needle: what search.lua found in the first chunks, when that edit was the last; -1 chunks
-- before it was asked.
--
-- Answers as window.lua says, or {position, -1} where it is to be searched first, or once more.
-- Strings are never compared here: Lua's `<` follows the locale. Ranks in by:sort carry the order of ids.

local function everything()
  return {
    name = BY_SORT,
    size = card,
    ordered = true,
    list = function()
      local ids = {}
      if valueless > 0 then
        ids = redis.call('ZRANGE', BY_SORT, card - valueless, card - 1)
      end
      if valueless < card then
        append(ids, redis.call('ZRANGE', BY_SORT, 0, card - valueless - 1))
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
  tell('list', driver.name, #ids)
  for i = 2, #sides do
    if sides[i].probe then
      ids = sides[i].probe(ids)
      tell('probe', sides[i].name, #ids)
    end
  end
  if q.needle ~= '' then
    ids = containing(ids)
    tell('search', TEXT, #ids)
  end
  return ids, driver.ordered
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

local function answer_by_sides()
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
    return cut(ids, first, last)
  end, BY_SORT)
end

local function answer_by_mask()
  local parts = {}
  if q.needle ~= '' then
    parts[1] = mask_of_needle()
    if not parts[1] then
      return {redis.call('HGETALL', POSITION), -1}
    end
  end
  local mask = mask_of(q.ranges, q.values, parts)
  local count = size_of(mask)
  tell('and', PREFIX .. 'bits:all', count)
  local function part_of(first, last)
    return page_of(mask, count, first, last)
  end
  local told
  if STEP > 1 and FROM < count then
    -- Places on the way: found at once, for each on its own would take as long.
    local all, fault = part_of(FROM, math.min(TO, count) - 1)
    told = answer(count, function(rank)
      return all and {all[rank - FROM + 1]}, fault
    end, BY_SORT)
  else
    told = answer(count, part_of, BY_SORT)
  end
  drop_masks(0)
  return told
end

local smallest = card
for i = 2, #sides do
  smallest = math.min(smallest, sides[i].size)
end
local told = (q.by_id or smallest <= q.few) and answer_by_sides() or answer_by_mask()
if q.tells and not told.err then
  told[#told + 1] = steps
end
return told
