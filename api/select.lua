-- A page of what passes several filters: the filter with the fewest members lists them, the others are probed.
--
--   EVALSHA <sha> <n> <doc> <text> <by:id> <by:sort> [<of:field:value> | <by:field>]... <arguments>
--
-- doc             hash        group id -> JSON document
-- text            hash        group id -> casefolded id, 0xFF, casefolded customer id
-- by:id           sorted set  every group id
-- by:sort         sorted set  every group id in the order of the list
-- of:field:value  sorted set  group ids with that value, scored by created_at
-- by:field        sorted set  every group id, scored by a field that a range filters
--
-- arguments: a msgpack map; keys are given by their number in KEYS
--   ids         list of group ids, a filter if by_id
--   values      for each filtered field the list of its sets, any of which will do
--   ranges      {key, sorted: it is by:sort, bounds: disjoint, ascending {lo, hi} as ZCOUNT takes them}
--   needle      casefolded text to be found in `text`; empty: no filter
--   by_created  by:sort is scored by created_at
--   descending, rotated, heads, offset, limit  as in scan.lua
--
-- Answers {count, rows}: rows are JSON objects joined by commas. Reads only.
-- Strings are never compared here: Lua's `<` follows the locale. Ranks in by:sort carry the order of ids.

-- Members per probing command: `unpack` fails at about 8000.
local CHUNK = 4000

local DOC, TEXT, BY_ID, BY_SORT = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local q = cmsgpack.unpack(ARGV[1])

local function chunks(list)
  local from = 1
  return function()
    if from <= #list then
      local part = {unpack(list, from, math.min(from + CHUNK - 1, #list))}
      from = from + CHUNK
      return part
    end
  end
end

local function append(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
end

-- Of `ids` those for which `accept(answer)` holds, where `command key id...` gives one answer for each.
local function probed(ids, command, key, accept)
  local kept = {}
  for part in chunks(ids) do
    for i, answer in ipairs(redis.call(command, key, unpack(part))) do
      if accept(answer) then
        kept[#kept + 1] = part[i]
      end
    end
  end
  return kept
end

local function exists(answer)
  return answer ~= false
end

-- The sides. `size` is at least the number of members, `list()` answers them, `probe(ids)` those of `ids` among them,
-- in the order given. `ordered`: list() is in the ascending order of by:sort.

local function side_of_ids()
  return {
    size = #q.ids,
    list = function()
      return probed(q.ids, 'ZMSCORE', BY_ID, exists)
    end,
    probe = function(ids)
      local wanted = {}
      for _, id in ipairs(q.ids) do
        wanted[id] = true
      end
      local kept = {}
      for _, id in ipairs(ids) do
        if wanted[id] then
          kept[#kept + 1] = id
        end
      end
      return kept
    end,
  }
end

local function side_of_values(numbers)
  local keys, size = {}, 0
  for i, number in ipairs(numbers) do
    keys[i] = KEYS[number]
    size = size + redis.call('ZCARD', keys[i])
  end
  return {
    size = size,
    ordered = q.by_created,
    list = function()
      if #keys == 1 then
        return redis.call('ZRANGE', keys[1], 0, -1)
      end
      -- A group has the same score in every set; MIN keeps it, and with it the order.
      local command = {'ZUNION', #keys}
      append(command, keys)
      append(command, {'AGGREGATE', 'MIN'})
      return redis.call(unpack(command))
    end,
    probe = function(ids)
      local found, left = {}, ids
      for _, key in ipairs(keys) do
        for _, id in ipairs(probed(left, 'ZMSCORE', key, exists)) do
          found[id] = true
        end
        local rest = {}
        for _, id in ipairs(left) do
          if not found[id] then
            rest[#rest + 1] = id
          end
        end
        left = rest
      end
      local kept = {}
      for _, id in ipairs(ids) do
        if found[id] then
          kept[#kept + 1] = id
        end
      end
      return kept
    end,
  }
end

local function bound(text)
  if string.sub(text, 1, 1) == '(' then
    return tonumber(string.sub(text, 2)), true
  end
  return tonumber(text), false
end

-- Whether a score lies in one of the intervals: the last that begins at or before it is the only candidate.
local function within(intervals)
  local parsed = {}
  for i, pair in ipairs(intervals) do
    local lo, lo_open = bound(pair[1])
    local hi, hi_open = bound(pair[2])
    parsed[i] = {lo = lo, lo_open = lo_open, hi = hi, hi_open = hi_open}
  end
  return function(answer)
    local score = tonumber(answer)
    local first, last = 0, #parsed
    while first < last do
      local middle = math.ceil((first + last) / 2)
      local interval = parsed[middle]
      if interval.lo < score or (interval.lo == score and not interval.lo_open) then
        first = middle
      else
        last = middle - 1
      end
    end
    if first == 0 then
      return false
    end
    local interval = parsed[first]
    return score < interval.hi or (score == interval.hi and not interval.hi_open)
  end
end

local function side_of_range(range)
  local key, size = KEYS[range.key], 0
  for _, pair in ipairs(range.bounds) do
    size = size + redis.call('ZCOUNT', key, pair[1], pair[2])
  end
  return {
    size = size,
    ordered = range.sorted,
    list = function()
      local ids = {}
      for _, pair in ipairs(range.bounds) do
        append(ids, redis.call('ZRANGE', key, pair[1], pair[2], 'BYSCORE'))
      end
      return ids
    end,
    probe = function(ids)
      return probed(ids, 'ZMSCORE', key, within(range.bounds))
    end,
  }
end

-- Where the order of the list begins in by:sort: rotated, it is with the members of score +inf, at the end.
local card = redis.call('ZCARD', BY_SORT)
local without = q.rotated and redis.call('ZCOUNT', BY_SORT, '+inf', '+inf') or 0

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
local take = math.min(q.limit, count - q.offset)
if take <= 0 then
  return {count, ''}
end

local fault
if not ordered then
  ids, fault = sorted(ids)
  if fault then
    return fault
  end
end

local page = {}
for i = 1, take do
  local place = q.offset + i
  page[i] = ids[q.descending and count + 1 - place or place]
end

local text
text, fault = rows(DOC, page, q.heads)
if fault then
  return fault
end
return {count, text}
