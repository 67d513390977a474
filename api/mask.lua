-- Put between sides.lua and select.lua: what many groups pass, by bitmaps (see buckets.lua). A mask is the name of a
-- bitmap; one without a key has no bits. Those made here are keys of their own, gone when the script ends: Redis has no
-- other way to combine bitmaps.

local PREFIX = string.sub(POSITION, 1, -9)
local ALL, ORDINAL = PREFIX .. 'bits:all', PREFIX .. 'ordinal'

local masks = 0

local function new_mask()
  masks = masks + 1
  return PREFIX .. 'bits:tmp:' .. masks
end

-- All but the first `kept`.
local function drop_masks(kept)
  for n = kept + 1, masks do
    redis.call('UNLINK', PREFIX .. 'bits:tmp:' .. n)
  end
  masks = kept
end

-- Into `result`, which may be one of them. One without a key is left out, for Redis takes long for it.
local function combine_into(result, operation, ...)
  local there, missing = {}, false
  for _, mask in ipairs({...}) do
    if redis.call('EXISTS', mask) == 1 then
      there[#there + 1] = mask
    else
      missing = true
    end
  end
  if #there == 0 or missing and operation == 'AND' then
    redis.call('UNLINK', result)
  else
    redis.call('BITOP', operation, result, unpack(there))
  end
  return result
end

local function combined(operation, ...)
  return combine_into(new_mask(), operation, ...)
end

local function size_of(mask)
  return redis.call('BITCOUNT', mask)
end

local function slice_of(field, k)
  return PREFIX .. 'bits:by:' .. field .. ':' .. k
end

-- Sets the bits of `ids` in a mask of ours to `value`, or to 1.
local function put(mask, ids, value)
  for part in chunks(ids) do
    for _, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(part))) do
      redis.call('SETBIT', mask, ordinal, value or 1)
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

-- Those whose bucket is `bucket` or above: an operation for each slice from the lowest bit that is 1 on. May be a bitmap
-- of the read model.
local function at_least(field, bucket)
  if bucket >= 2 ^ SLICES[field] then
    return new_mask()
  end
  local mask, result = nil, new_mask()
  for k = 0, SLICES[field] - 1 do
    local slice = slice_of(field, k)
    if math.floor(bucket / 2 ^ k) % 2 == 1 then
      mask = mask and combine_into(result, 'AND', mask, slice) or slice
    elseif mask then
      mask = combine_into(result, 'OR', mask, slice)
    end
  end
  return mask or ALL
end

-- What begins where an interval ends, or ends where it begins: what the interval has in it, this has not.
local function beside(bound)
  return string.sub(bound, 1, 1) == '(' and string.sub(bound, 2) or '(' .. bound
end

-- Those whose score is `lo`, as ZCOUNT takes it, or beyond. The bound's own bucket may lie on both sides of it: the
-- members on one side, those that are fewer, are looked up. May be a bitmap of the read model.
local function mask_from(key, field, lo)
  local wanted = redis.call('ZCOUNT', key, lo, '+inf')
  if wanted == 0 then
    return new_mask()
  elseif wanted == redis.call('ZCARD', key) then
    return ALL
  end
  local bucket = BUCKET[field](bound(lo))
  local from_bucket = at_least(field, bucket)
  local before_bound = size_of(from_bucket) - wanted
  if before_bound == 0 then
    return from_bucket
  end
  local past_bucket = at_least(field, bucket + 1)
  local from_bound = wanted - size_of(past_bucket)
  if from_bound == 0 then
    return past_bucket
  end
  local mask
  if from_bound <= before_bound then
    mask = combined('OR', past_bucket)
    put(mask, redis.call('ZRANGE', key, lo, '+inf', 'BYSCORE', 'LIMIT', 0, from_bound))
  else
    mask = combined('OR', from_bucket)
    put(mask, redis.call('ZRANGE', key, beside(lo), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, before_bound), 0)
  end
  return mask
end

-- Those between intervals, as `$ne` and `$nin` leave them out; nil if they are many.
local function members_between(key, intervals)
  local ids = {}
  for i = 2, #intervals do
    local from, to = beside(intervals[i - 1][2]), beside(intervals[i][1])
    append(ids, redis.call('ZRANGE', key, from, to, 'BYSCORE', 'LIMIT', 0, math.max(q.few, 0) + 1))
    if #ids > q.few then
      return nil
    end
  end
  return ids
end

-- Of several intervals, those with few members are looked up.
local function mask_of_intervals(key, field, intervals)
  local mask, few = new_mask(), {}
  for _, pair in ipairs(intervals) do
    if #intervals > 1 and redis.call('ZCOUNT', key, pair[1], pair[2]) <= q.few then
      append(few, redis.call('ZRANGE', key, pair[1], pair[2], 'BYSCORE'))
    else
      -- They are disjoint: what lies in one is beyond an odd number of bounds.
      local kept = masks
      combine_into(mask, 'XOR', mask, mask_from(key, field, pair[1]), mask_from(key, field, beside(pair[2])))
      drop_masks(kept)
    end
  end
  put(mask, few)
  return mask
end

local function mask_of_range(range)
  local key, intervals = KEYS[range.key], range.bounds
  local field = string.sub(key, #PREFIX + 4)
  local between = #intervals > 1 and members_between(key, intervals)
  local mask
  if between then
    mask = mask_of_intervals(key, field, {{intervals[1][1], intervals[#intervals][2]}})
    put(mask, between, 0)
  else
    mask = mask_of_intervals(key, field, intervals)
  end
  tell('slices', PREFIX .. 'bits:by:' .. field, mask)
  return mask
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
  local ids, at = {}, redis.call('BITPOS', mask, 1)
  while at >= 0 do
    ids[#ids + 1] = redis.call('ZRANGE', ORDINAL, at, at)[1]
    at = redis.call('BITPOS', mask, 1, at + 1, -1, 'BIT')
  end
  return ids
end
