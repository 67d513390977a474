-- Which groups are at some ranks of the list: every step-th from the first to the last. Ranks are from 0, both are
-- included. What answers ids may answer nil and an error reply instead.

local FIELD = string.sub(BY_SORT, #PREFIX + 4)

-- Groups that a walk looks at by one command.
local STEP_GROUPS = 200

-- `ids`, which are of one score, in the order of by:sort.
local function sorted_alike(ids)
  local ranks, at = {}, {}
  for i, id in ipairs(ids) do
    ranks[i] = redis.call('ZRANK', BY_SORT, id)
    at[ranks[i]] = id
  end
  table.sort(ranks)
  for i, rank in ipairs(ranks) do
    ids[i] = at[rank]
  end
  return ids
end

-- `ids` in the ascending order of by:sort.
local function sorted(ids)
  tell('sort', BY_SORT, #ids)
  -- Score -> the one that has it, or all of them.
  local scores, having = {}, {}
  for part in chunks(ids) do
    for i, answer in ipairs(redis.call('ZMSCORE', BY_SORT, unpack(part))) do
      local id = part[i]
      if not answer then
        return nil, redis.error_reply('MISSING ' .. id)
      end
      local score = tonumber(answer)
      score = ROTATED and score == math.huge and -math.huge or score
      local others = having[score]
      if not others then
        scores[#scores + 1], having[score] = score, id
      elseif type(others) == 'string' then
        having[score] = {others, id}
      else
        others[#others + 1] = id
      end
    end
  end
  table.sort(scores)
  local ordered = {}
  for _, score in ipairs(scores) do
    local some = having[score]
    if type(some) == 'string' then
      ordered[#ordered + 1] = some
    else
      append(ordered, sorted_alike(some))
    end
  end
  return ordered
end

-- Of `ids` in ascending order those with these ranks of the list.
local function cut(ids, first, last, step)
  local part = {}
  for place = first + 1, last + 1, step do
    part[#part + 1] = ids[DESCENDING and #ids + 1 - place or place]
  end
  return part
end

-- Members of by:sort by their ranks in a list of all.
local function ranked(first, last)
  if not DESCENDING then
    return redis.call('ZRANGE', BY_SORT, first, last)
  end
  local ids = {}
  if first < card - valueless then
    ids = redis.call('ZRANGE', BY_SORT, valueless + first, math.min(valueless + last, card - 1), 'REV')
  end
  if last >= card - valueless then
    append(ids, redis.call('ZRANGE', BY_SORT, math.max(first - card + valueless, 0), last - card + valueless, 'REV'))
  end
  return ids
end

-- Looks at all groups one by one, from the rank `start` of all on, for those of the mask at these ranks of the mask; nil
-- if they are not among the first `most`.
local function walked(mask, start, first, last, step, most)
  local bytes, found, rank, passed = redis.call('GET', mask) or '', {}, start, 0
  local stop = math.min(card, start + most)
  while rank < stop and passed <= last do
    local ids = ranked(rank, math.min(rank + STEP_GROUPS, stop) - 1)
    for i, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(ids))) do
      if not ordinal then
        return nil, redis.error_reply('MISSING ' .. ids[i])
      end
      ordinal = tonumber(ordinal)
      local place = ordinal % 8
      local byte = string.byte(bytes, (ordinal - place) / 8 + 1) or 0
      if math.floor(byte / 2 ^ (7 - place)) % 2 == 1 then
        if passed >= first and passed <= last and (passed - first) % step == 0 then
          found[#found + 1] = ids[i]
        end
        passed = passed + 1
      end
    end
    rank = rank + STEP_GROUPS
  end
  tell('walk', BY_SORT, math.min(rank, stop) - start)
  return passed > last and found or nil
end

-- The page out of parts of the list that follow each other: {mask, groups in it}, ...
local function joined(parts, first, last, step, page)
  local ids, before = {}, 0
  for _, part in ipairs(parts) do
    local mask, count = unpack(part)
    local from = first + math.ceil(math.max(before - first, 0) / step) * step - before
    if from < count and from + before <= last then
      local kept = masks
      local some, fault = page(mask, count, from, math.min(last - before, count - 1), step)
      drop_masks(kept)
      if not some then
        return nil, fault
      end
      append(ids, some)
    end
    before = before + count
  end
  return ids
end

-- Whether the groups that have the k-th bit come before those that have not.
local function ones_come_first(field, k)
  if field ~= 'id' then
    return DESCENDING
  end
  -- They differ from the reference in it.
  local reference = id_of(0)
  local byte = string.byte(reference, ID_BYTES - math.floor(k / 8)) or 0
  return DESCENDING == (math.floor(byte / 2 ^ (k % 8)) % 2 == 0)
end

local function slices_of(field)
  return field == 'id' and 8 * ID_BYTES or SLICES[field]
end

-- Calls narrowed, which calls it.
local page_among_alike

-- Halves the mask by one slice after the other, from the highest on, and goes on where the page lies. `left`: slices
-- that are left; `count`: groups in the mask.
local function narrowed(mask, count, field, left, first, last, step)
  if count <= math.max(q.listed + math.floor((last - first) / step), 1) then
    if left < slices_of(field) then
      tell('slices', PREFIX .. 'bits:by:' .. field, count)
    end
    local ids, fault = sorted(listed(mask))
    return ids and cut(ids, first, last, step), fault
  end
  for k = left - 1, 0, -1 do
    local slice = slice_of(field, k)
    local ones = redis.call('EXISTS', slice) == 1 and combined('AND', mask, slice)
    local many = ones and size_of(ones) or 0
    if many > 0 and many < count then
      local halves = {{ones, many}, {combined('XOR', mask, ones), count - many}}
      if not ones_come_first(field, k) then
        halves = {halves[2], halves[1]}
      end
      return joined(halves, first, last, step, function(half, size, from, to)
        return narrowed(half, size, field, k, from, to, step)
      end)
    end
  end
  return page_among_alike(mask, count, field, first, last, step)
end

local function one_of(mask)
  return id_of(redis.call('BITPOS', mask, 1))
end

-- Where in the list of all to begin a walk for groups that follow each other there, and whose ids are alike in all that
-- slices tell: somewhat before the first.
local function start_of_alike(mask)
  local id, reference = one_of(mask), id_of(0)
  local told = 1
  while told < ID_BYTES and string.byte(id, told) == string.byte(reference, told) do
    told = told + 1
  end
  -- A byte that is not there is like one that is 0.
  local alike = string.gsub(string.sub(id, 1, math.min(told + ID_WINDOW - 1, ID_BYTES)), '%z+$', '')
  local rank = (redis.call('ZRANK', BY_SORT, id) + valueless) % card
  local step = 1
  rank = DESCENDING and card - 1 - rank or rank
  while rank - step > 0 and string.sub(ranked(rank - step, rank - step)[1], 1, #alike) == alike do
    step = 2 * step
  end
  return math.max(rank - step, 0)
end

-- As `walked`, where they must be found.
local function found_on_the_way(mask, start, first, last, step)
  local ids, fault = walked(mask, start, first, last, step, card)
  return ids, not ids and (fault or redis.error_reply('MISSING members of ' .. BY_SORT)) or nil
end

-- The page out of more groups of one bucket than are listed. Of one score they are in the order of ids; else, and where
-- even their ids are alike, they are looked for one by one.
page_among_alike = function(mask, count, field, first, last, step)
  if field == 'id' then
    return found_on_the_way(mask, start_of_alike(mask), first, last, step)
  end
  local score = redis.call('ZSCORE', BY_SORT, one_of(mask))
  local bucket = BUCKET[field](tonumber(score))
  local from, beyond = size_of(at_least(field, bucket)), size_of(at_least(field, bucket + 1))
  if redis.call('ZCOUNT', BY_SORT, score, score) == from - beyond then
    return narrowed(mask, count, 'id', slices_of('id'), first, last, step)
  end
  return found_on_the_way(mask, DESCENDING and beyond - valueless or card - from, first, last, step)
end

-- How many of all groups come before those that a range of the sort field has, and how many there are from its first to
-- its last.
local function reach()
  for _, range in ipairs(q.ranges) do
    if range.sorted then
      local lo, hi = range.bounds[1][1], range.bounds[#range.bounds][2]
      local ahead = DESCENDING and redis.call('ZCOUNT', BY_SORT, beside(hi), ROTATED and '(+inf' or '+inf')
        or redis.call('ZCOUNT', BY_SORT, '-inf', beside(lo))
      return ahead, redis.call('ZCOUNT', BY_SORT, lo, hi)
    end
  end
  return 0, card
end

-- `count`: groups in the mask.
local function page_of(mask, count, first, last, step)
  local ahead, span = reach()
  if (last + 1) * span <= q.walked * count then
    -- That is if they lie evenly. A filter that goes with the order has them all at the other end.
    local ids, fault = walked(mask, ahead, first, last, step, 2 * q.walked)
    if ids or fault then
      return ids, fault
    end
  end
  local parts = {{mask, count}}
  if ROTATED then
    -- Those without a value have the last bucket for themselves, and come last.
    local last_ones = combined('AND', mask, at_least(FIELD, 2 ^ slices_of(FIELD) - 1))
    local many = size_of(last_ones)
    parts = {{combined('XOR', mask, last_ones), count - many}, {last_ones, many}}
  end
  return joined(parts, first, last, step, function(part, size, from, to)
    return narrowed(part, size, FIELD, slices_of(FIELD), from, to, step)
  end)
end
