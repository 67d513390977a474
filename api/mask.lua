-- Put between sides.lua and select.lua: what many groups pass, by bitmaps (see buckets.lua). A mask is the name of a
-- bitmap. Masks made here are keys of their own, gone when the script ends: Redis has no other way to combine bitmaps.

local PREFIX = string.sub(POSITION, 1, -9)
local ALL, ORDINAL = PREFIX .. 'bits:all', PREFIX .. 'ordinal'

-- Groups of one step on the way to a page, or through the edge of a range.
local STEP_GROUPS = 200

local masks = 0

local function new_mask()
  masks = masks + 1
  return PREFIX .. 'bits:tmp:' .. masks
end

local function drop_masks()
  for n = 1, masks do
    redis.call('UNLINK', PREFIX .. 'bits:tmp:' .. n)
  end
end

local function combined(operation, ...)
  local mask = new_mask()
  redis.call('BITOP', operation, mask, ...)
  return mask
end

local function size_of(mask)
  return redis.call('BITCOUNT', mask)
end

local function slice_of(field, k)
  return PREFIX .. 'bits:by:' .. field .. ':' .. k
end

-- Sets the bits of `ids` in a mask of ours to `bit`, or to 1.
local function put(mask, ids, bit)
  for part in chunks(ids) do
    for _, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(part))) do
      redis.call('SETBIT', mask, ordinal, bit or 1)
    end
  end
end

local function mask_of_values(numbers)
  local broad, narrow = {}, nil
  for _, number in ipairs(numbers) do
    local bits = PREFIX .. 'bits:' .. string.sub(KEYS[number], #PREFIX + 1)
    if redis.call('EXISTS', bits) == 1 then
      broad[#broad + 1] = bits
      tell('bitmap', bits, bits)
    else
      local ids = redis.call('ZRANGE', KEYS[number], 0, -1)
      tell('list', KEYS[number], #ids)
      narrow = narrow or new_mask()
      put(narrow, ids)
    end
  end
  broad[#broad + 1] = narrow
  return #broad == 1 and broad[1] or combined('OR', unpack(broad))
end

-- Of `among` those whose bucket is above, and those whose bucket is, `bucket`; `side` 0: below instead of above.
local function split(field, bucket, side, among)
  local beyond, equal = new_mask(), combined('AND', among)
  for k = SLICES[field] - 1, 0, -1 do
    local bit = math.floor(bucket / 2 ^ k) % 2
    local ones = combined('AND', equal, slice_of(field, k))
    if bit == 1 and side == 1 then
      equal = ones
    elseif bit == 0 and side == 0 then
      redis.call('BITOP', 'XOR', equal, equal, ones)
    else
      -- Here they part: the others are beyond.
      local zeros = combined('XOR', equal, ones)
      redis.call('BITOP', 'OR', beyond, beyond, bit == 0 and ones or zeros)
      equal = bit == 0 and zeros or ones
    end
  end
  return beyond, equal
end

-- The members from one bound of a range on, as long as they lie in the bucket of that bound.
local function edge(key, field, from, to, reverse, bucket)
  local ids, offset = {}, 0
  while true do
    local some
    if reverse then
      some = redis.call('ZRANGE', key, from, to, 'BYSCORE', 'REV', 'LIMIT', offset, STEP_GROUPS, 'WITHSCORES')
    else
      some = redis.call('ZRANGE', key, from, to, 'BYSCORE', 'LIMIT', offset, STEP_GROUPS, 'WITHSCORES')
    end
    for i = 1, #some, 2 do
      if BUCKET[field](tonumber(some[i + 1])) ~= bucket then
        return ids
      end
      ids[#ids + 1] = some[i]
    end
    if #some < 2 * STEP_GROUPS then
      return ids
    end
    offset = offset + STEP_GROUPS
  end
end

-- Adds to `beyond` those of the bound's own bucket that are within it.
local function with_edge(key, field, beyond, equal, within, list)
  local wanted = within - size_of(beyond)
  if wanted == size_of(equal) then
    redis.call('BITOP', 'OR', beyond, beyond, equal)
  elseif wanted > 0 then
    put(beyond, list())
  end
  return beyond
end

local function mask_of_interval(key, field, lo, hi)
  local at_lo, at_hi = bound(lo), bound(hi)
  local mask = ALL
  if at_lo > -math.huge then
    local bucket = BUCKET[field](at_lo)
    local above, equal = split(field, bucket, 1, ALL)
    mask = with_edge(key, field, above, equal, redis.call('ZCOUNT', key, lo, '+inf'), function()
      return edge(key, field, lo, '+inf', false, bucket)
    end)
  end
  if at_hi < math.huge or string.sub(hi, 1, 1) == '(' then
    local bucket = BUCKET[field](at_hi)
    local below, equal = split(field, bucket, 0, ALL)
    below = with_edge(key, field, below, equal, redis.call('ZCOUNT', key, '-inf', hi), function()
      return edge(key, field, hi, '-inf', true, bucket)
    end)
    mask = combined('AND', mask, below)
  end
  return mask
end

-- What begins where an interval ends, or ends where it begins: what the interval has in it, this has not.
local function beside(bound)
  return string.sub(bound, 1, 1) == '(' and string.sub(bound, 2) or '(' .. bound
end

-- The members between intervals, as `$ne` and `$nin` leave them out; nil if they are many.
local function left_out(key, intervals)
  local ids = {}
  for i = 2, #intervals do
    local from, to = beside(intervals[i - 1][2]), beside(intervals[i][1])
    append(ids, redis.call('ZRANGE', key, from, to, 'BYSCORE', 'LIMIT', 0, math.max(q.listed, 0) + 1))
    if #ids > q.listed then
      return nil
    end
  end
  return ids
end

local function mask_of_range(range)
  local key = KEYS[range.key]
  local field = string.sub(key, #PREFIX + 4)
  local found
  local without = #range.bounds > 1 and left_out(key, range.bounds)
  if without then
    found = combined('AND', mask_of_interval(key, field, range.bounds[1][1], range.bounds[#range.bounds][2]))
    put(found, without, 0)
    tell('slices', PREFIX .. 'bits:by:' .. field, found)
    return found
  end
  for _, pair in ipairs(range.bounds) do
    local mask = mask_of_interval(key, field, pair[1], pair[2])
    found = found and combined('OR', found, mask) or mask
  end
  tell('slices', PREFIX .. 'bits:by:' .. field, found)
  return found
end

-- The groups that pass all filters, and have a bit in each of `parts`. A copy: those of the read model itself are never
-- changed.
local function mask_of(ranges, values, parts)
  parts[#parts + 1] = ALL
  for _, range in ipairs(ranges) do
    parts[#parts + 1] = mask_of_range(range)
  end
  for _, numbers in ipairs(values) do
    parts[#parts + 1] = mask_of_values(numbers)
  end
  return combined('AND', unpack(parts))
end

-- The ids of a mask with few bits, in any order.
local function listed(mask)
  local bytes, ids, at = redis.call('GET', mask) or '', {}, 0
  while true do
    at = string.find(bytes, '[^%z]', at + 1)
    if not at then
      return ids
    end
    local byte = string.byte(bytes, at)
    for place = 0, 7 do
      if byte >= 2 ^ (7 - place) then
        byte = byte - 2 ^ (7 - place)
        local ordinal = (at - 1) * 8 + place
        ids[#ids + 1] = redis.call('ZRANGE', ORDINAL, ordinal, ordinal)[1]
      end
    end
  end
end

-- The bucket of the member that comes at `rank` in the order of the list, and how many of `mask` come before that bucket.
local function bucket_at(field, mask, rank, descending)
  local among, left, bucket, before = combined('AND', mask), size_of(mask), 0, 0
  for k = SLICES[field] - 1, 0, -1 do
    local ones = combined('AND', among, slice_of(field, k))
    local count = size_of(ones)
    local ahead = descending and count or left - count
    local in_ones = descending == (rank - before < ahead)
    if rank - before < ahead then
      left = ahead
    else
      before, left = before + ahead, left - ahead
    end
    if in_ones then
      among, bucket = ones, bucket + 2 ^ k
    else
      redis.call('BITOP', 'XOR', among, among, ones)
    end
  end
  return bucket, before
end

-- Of `mask` those with a bucket from `lowest` to `highest`.
local function between(field, mask, lowest, highest)
  if lowest > 0 then
    mask = split(field, lowest - 1, 1, mask)
  end
  if highest < 2 ^ SLICES[field] - 1 then
    mask = split(field, highest + 1, 0, mask)
  end
  return mask
end

-- Looks at the members of BY_SORT one by one in the order of the list, from a rank of it on, until `wanted` of the mask
-- were passed over and the `take` after them found. `ranked(first, last)` answers members by their ranks in the list.
local function walked(mask, ranked, start, card, skip, take)
  local bytes, found, rank = redis.call('GET', mask) or '', {}, start
  while rank < card and #found < take do
    local ids = ranked(rank, math.min(rank + STEP_GROUPS, card) - 1)
    for i, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(ids))) do
      ordinal = tonumber(ordinal)
      local place = ordinal % 8
      local byte = string.byte(bytes, (ordinal - place) / 8 + 1) or 0
      if math.floor(byte / 2 ^ (7 - place)) % 2 == 1 then
        if skip > 0 then
          skip = skip - 1
        elseif #found < take then
          found[#found + 1] = ids[i]
        end
      end
    end
    rank = rank + STEP_GROUPS
  end
  tell('walk', BY_SORT, math.min(rank, card) - start)
  return found
end
