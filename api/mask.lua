-- Groups by bitmaps (see buckets.lua). A mask is the name of a bitmap; one without a key has no bits. Those made here
-- are keys of their own, gone when the script ends: Redis has no other way to combine bitmaps.

local ALL = PREFIX .. 'bits:all'

-- Nothing of what is written here outlives the script, so neither replicas nor the append-only file need hear of it.
redis.set_repl(redis.REPL_NONE)

-- How many there are: they are numbered.
local masks = 0

-- Bitmaps of which it is known whether they have a key. One that is said to have none has none; one that is said to have
-- one may lack it, where nothing but empty bitmaps were combined.
local has_key = {}

local function is_there(mask)
  if has_key[mask] == nil then
    has_key[mask] = redis.call('EXISTS', mask) == 1
  end
  return has_key[mask]
end

-- Of a mask that is to be written as a whole: a script that ended with an error may have left one of that name.
local function new_name()
  masks = masks + 1
  return PREFIX .. 'bits:tmp:' .. masks
end

local function emptied(mask)
  redis.call('UNLINK', mask)
  has_key[mask] = false
  return mask
end

local function empty_mask()
  return emptied(new_name())
end

local function mask_of(bits)
  local mask = new_name()
  redis.call('SET', mask, bits)
  has_key[mask] = true
  return mask
end

-- All but the first `kept`.
local function drop_masks(kept)
  local names = {}
  for n = kept + 1, masks do
    local name = PREFIX .. 'bits:tmp:' .. n
    names[#names + 1], has_key[name] = name, false
  end
  if #names > 0 then
    redis.call('UNLINK', unpack(names))
  end
  masks = kept
end

-- Bitmaps that Redis combines at once in words; more it takes byte by byte.
local COMBINED_FAST = 16

-- Into `result`, which may be one of them. One without a key is left out, for Redis takes long for it.
local function combine_into(result, operation, ...)
  local there, missing = {}, false
  for _, mask in ipairs({...}) do
    if is_there(mask) then
      there[#there + 1] = mask
    else
      missing = true
    end
  end
  if #there == 0 or missing and operation == 'AND' then
    return emptied(result)
  end
  if #there > 1 or there[1] ~= result then
    redis.call('BITOP', operation, result, unpack(there))
    has_key[result] = true
  end
  return result
end

local function combined(operation, ...)
  return combine_into(new_name(), operation, ...)
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
    has_key[mask] = has_key[mask] or n > 0
  end
end

-- Those whose bucket is `bucket` or above: the slices from the lowest bit that is 1 on, one after the other; an operation
-- for all that follow each other and have the same bit. May be a bitmap of the read model.
local function at_least(field, bucket)
  if bucket >= 2 ^ SLICES[field] then
    return empty_mask()
  end
  local result, run, operation
  local function combined_run()
    if #run == 1 then
      return run[1]
    end
    result = result or new_name()
    return combine_into(result, operation, unpack(run))
  end
  for k = 0, SLICES[field] - 1 do
    local slice, is_one = slice_of(field, k), math.floor(bucket / 2 ^ k) % 2 == 1
    if run then
      local wanted = is_one and 'AND' or 'OR'
      if wanted ~= operation or #run == COMBINED_FAST then
        run, operation = {combined_run()}, wanted
      end
      run[#run + 1] = slice
    elseif is_one then
      run = {slice}
    end
  end
  return run and combined_run() or ALL
end

-- The number with the most zeros at its end that is not above `bucket`, but above `below`.
local function roundest(bucket, below)
  local rounded, step = bucket, 2
  while rounded > 0 and bucket - bucket % step > below do
    rounded, step = bucket - bucket % step, 2 * step
  end
  return rounded
end

-- Members that are looked up to spare some slices: one takes as long as a dozen of them.
local SPARING = 24

-- As `mask_from`, from a bucket before that of `lo` on, between which there are few members. Nil where there are many in
-- its own alone.
local function mask_from_before(key, field, lo, bucket)
  local near = redis.call('ZRANGE', key, beside(lo), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, SPARING, 'WITHSCORES')
  local below = #near < 2 * SPARING and -1 or BUCKET[field](tonumber(near[#near]))
  if below == bucket then
    return nil
  end
  local from = roundest(bucket, below)
  local ids = {}
  for i = 1, #near, 2 do
    if BUCKET[field](tonumber(near[i + 1])) >= from then
      ids[#ids + 1] = near[i]
    end
  end
  local mask = at_least(field, from)
  if #ids > 0 then
    mask = combined('OR', mask)
    set_bits(mask, ids, '0')
  end
  return mask
end

-- Those whose score is `lo`, as ZCOUNT takes it, or beyond. The bound's own bucket may lie on both sides of it: the
-- members on one side are looked up, where they are many those that are fewer. May be a bitmap of the read model.
local function mask_from(key, field, lo)
  local wanted = redis.call('ZCOUNT', key, lo, '+inf')
  if wanted == 0 then
    return empty_mask()
  elseif wanted == redis.call('ZCARD', key) then
    return ALL
  end
  local bucket = BUCKET[field](bound(lo))
  local soon = mask_from_before(key, field, lo, bucket)
  if soon then
    return soon
  end
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
