-- Which groups of a mask are at some ranks of the list: every step-th from the first to the last. Ranks are from 0, both
-- are included. Where a step is long, one near to such a rank will do. What answers ids may answer nil and an error reply
-- instead.

local FIELD = string.sub(BY_SORT, #PREFIX + 4)

-- The page out of parts of the list that follow each other: {function that answers the mask, groups in it}, ...
local function joined(parts, first, last, step, page)
  local ids, before = {}, 0
  for _, part in ipairs(parts) do
    local make, count = unpack(part)
    local from = first + math.ceil(math.max(before - first, 0) / step) * step - before
    if from < count and from + before <= last then
      local kept = masks
      local some, fault = page(make(), count, from, math.min(last - before, count - 1), step)
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

-- How many groups of all come before those that a range of the sort field has, and how many there are from its first to
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

-- Slices from the lowest on, above which those of the list that have a value are all alike: so are their first and last.
local function slices_that_differ(field)
  if field == 'id' then
    return slice_between_ids(redis.call('ZRANGE', BY_ID, 0, 0)[1], redis.call('ZRANGE', BY_ID, -1, -1)[1]) + 1
  end
  local ahead, span = reach()
  local highest = (DESCENDING and card - valueless - ahead or ahead + span) - 1
  if highest < 0 then
    return 0
  end
  local lowest = math.max(highest - span + 1, 0)
  return slices_between(bucket_at(BY_SORT, field, lowest), bucket_at(BY_SORT, field, highest))
end

local slices_known = {}
local function slices_of(field)
  slices_known[field] = slices_known[field] or slices_that_differ(field)
  return slices_known[field]
end

-- Whether it is left to who asks to list and sort the groups: the answer has masks in the place of ids.
local leaves = false

-- How many groups, beyond those of the page, may be listed and sorted: the more, the fewer slices are needed. Of places far
-- from each other each has its own to be listed.
local function spare()
  return leaves and 4 * q.listed or STEP > 1 and q.listed / 4 or q.listed
end

-- The page out of few groups.
local function page_listed(view, count, first, last, step)
  if leaves then
    unlisted = true
    view = closer(view, count)
    local place = {redis.call('GET', view.mask), view.base or 0, first, last}
    place.unknown = PARTS < 0 and unknown_in(view) or nil
    return {place}
  end
  local ids, fault = sorted(listed(view.mask, view.base or 0, count))
  return ids and cut(ids, first, last, step), fault
end

-- Calls narrowed, which calls it.
local found_on_the_way

-- Halves a view by one slice after the other, from the highest on, and goes on where the page lies. `left`: slices that
-- are left; `count`: groups in it. Those of one score are in the order of ids, which have slices, too; those whose ids are
-- alike are looked for one by one.
local function narrowed(view, count, field, left, first, last, step)
  -- One place is asked for, and whichever is left is near enough.
  local will_do = last - first < step and count <= step * q.rough
  if will_do or count <= math.max(spare() + math.floor((last - first) / step), 1) then
    if left < slices_of(field) then
      tell('slices', PREFIX .. 'bits:by:' .. field, count)
    end
    if will_do then
      return {one_of(view)}
    end
    return page_listed(view, count, first, last, step)
  end
  view = closer(view, count)
  local k, next_slice = left - 1, slices_that_may_split(view, field)
  while k >= 0 do
    local slice = slice_of(field, k)
    local ones = is_there(slice) and combined('AND', view.mask, seen(slice, view))
    local many = ones and size_of(ones) or 0
    if many > 0 and many < count then
      local halves = {
        {function() return ones end, many},
        {function() return combined('XOR', view.mask, ones) end, count - many},
      }
      if not ones_come_first(field, k) then
        halves = {halves[2], halves[1]}
      end
      return joined(halves, first, last, step, function(half, size, from, to)
        return narrowed({mask = half, base = view.base, size = view.size}, size, field, k, from, to, step)
      end)
    end
    k = next_slice(k)
  end
  if field == 'id' then
    return found_on_the_way(view, first, last, step)
  elseif have_one_score(view, field) then
    return narrowed(view, count, 'id', slices_of('id'), first, last, step)
  end
  -- Scores share a bucket only where they are next to the same: they are few.
  return page_listed(view, count, first, last, step)
end

-- Where in the list of all to begin a walk for groups that follow each other there, and whose ids are alike in all that
-- slices tell: somewhat before the first.
local function start_of_alike(view)
  local id = one_of(view)
  -- A byte that is not there is like one that is 0.
  local alike = string.gsub(string.sub(id, 1, bytes_told(id)), '%z+$', '')
  local rank = (redis.call('ZRANK', BY_SORT, id) + valueless) % card
  local step = 1
  rank = DESCENDING and card - 1 - rank or rank
  while rank - step > 0 and string.sub(ranked(rank - step, rank - step)[1], 1, #alike) == alike do
    step = 2 * step
  end
  return math.max(rank - step, 0)
end

-- As `walked`, where they must be found.
found_on_the_way = function(view, first, last, step)
  local start = start_of_alike(view)
  local ids, fault = walked(of_mask(whole(view)), start, first, last, step, card, STRIDE_GROUPS)
  return ids, not ids and (fault or redis.error_reply('MISSING members of ' .. BY_SORT)) or nil
end

local was_too_far = false

-- The page of a list of `count` groups, of which `probe` keeps those that are in it; nil if that is too far to walk, or was
-- when it was tried before in this call.
local function page_near(probe, count, first, last, step)
  if was_too_far then
    return nil
  end
  local ahead, span = reach()
  local expected = (last + 1) * span / count
  if expected > q.walked then
    return nil
  end
  -- That is if they lie evenly, or nearly so. A filter that goes with the order has them all at the other end.
  local ids, fault = walked(probe, ahead, first, last, step, 2 * q.walked, math.ceil(1.25 * expected) + 8)
  was_too_far = not ids
  return ids, fault
end

-- `count`: groups in the mask.
local function page_of(mask, count, first, last, step)
  leaves = PARTS <= 0 and STEP <= 1 and last - first + 1 > q.at_once_listed
  local ids, fault = page_near(of_mask(mask), count, first, last, step)
  if ids or fault then
    return ids, fault
  end
  local function page(part, size, from, to)
    return narrowed({mask = part}, size, FIELD, slices_of(FIELD), from, to, step)
  end
  if not ROTATED then
    return page(mask, count, first, last)
  end
  -- Those without a value have the highest bit for themselves, and come last.
  local last_ones = combined('AND', mask, slice_of(FIELD, SLICES[FIELD] - 1))
  local many = size_of(last_ones)
  local parts = {
    {function() return combined('XOR', mask, last_ones) end, count - many},
    {function() return last_ones end, many},
  }
  return joined(parts, first, last, step, page)
end
