-- Groups by bitmaps (see buckets.lua). A mask is the name of a bitmap; one without a key has no bits. Those made here
-- are keys of their own, gone when the script ends: Redis has no other way to combine bitmaps.

local ALL = PREFIX .. 'bits:all'

-- Nothing of what is written here outlives the script, so neither replicas nor the append-only file need hear of it.
redis.set_repl(redis.REPL_NONE)

-- How many there are: they are numbered.
local masks = 0

local function new_mask()
  masks = masks + 1
  local mask = PREFIX .. 'bits:tmp:' .. masks
  -- A script that ended with an error may have left one.
  redis.call('UNLINK', mask)
  return mask
end

-- All but the first `kept`.
local function drop_masks(kept)
  for n = kept + 1, masks do
    redis.call('UNLINK', PREFIX .. 'bits:tmp:' .. n)
  end
  masks = kept
end

-- Bitmaps that Redis combines at once in words; more it takes byte by byte.
local COMBINED_FAST = 16

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
  elseif #there > 1 or there[1] ~= result then
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

-- Sets the bits of `ids` in a mask of ours to `value`, or to '1'. Who was never listed has none.
local function set_bits(mask, ids, value)
  for part in chunks(ids, CHUNK / 4) do
    local arguments, n = {}, 0
    for _, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(part))) do
      if ordinal then
        arguments[n + 1], arguments[n + 2], arguments[n + 3], arguments[n + 4] = 'SET', 'u1', ordinal, value or '1'
        n = n + 4
      end
    end
    -- Takes half as long as SETBIT for each.
    redis.call('BITFIELD', mask, unpack(arguments))
  end
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

-- Those whose score is `lo`, as ZCOUNT takes it, or beyond. The bound's own bucket may lie on both sides of it: the
-- members on one side are looked up, where they are many those that are fewer. May be a bitmap of the read model.
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
  if before_bound > q.interval then
    local past_bucket = at_least(field, bucket + 1)
    local from_bound = wanted - size_of(past_bucket)
    if from_bound < before_bound then
      local mask = combined('OR', past_bucket)
      set_bits(mask, redis.call('ZRANGE', key, lo, '+inf', 'BYSCORE', 'LIMIT', 0, from_bound))
      return mask
    end
  end
  local mask = combined('OR', from_bucket)
  set_bits(mask, redis.call('ZRANGE', key, beside(lo), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, before_bound), '0')
  return mask
end

-- The ids of a mask with few bits, in any order. `base`: the byte that it begins with, if not the first.
local function listed(mask, base)
  local ids, at = {}, redis.call('BITPOS', mask, '1')
  while at >= 0 do
    ids[#ids + 1] = id_of(8 * (base or 0) + at)
    at = redis.call('BITPOS', mask, '1', at + 1, '-1', 'BIT')
  end
  return ids
end
