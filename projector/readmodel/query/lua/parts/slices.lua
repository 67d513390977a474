-- Groups by the bit slices of a field (see buckets.lua): those of the buckets of an interval.

-- Of each field the score at which a bucket begins, and whether that itself is below it; see buckets.lua.
local function first_time(bucket)
  return bucket - 62135596800000
end

local FIRST_SCORE = {
  created_at = first_time,
  updated_at = first_time,
  seller_count = function(bucket) return bucket end,
  display_id = function(bucket)
    local id = bucket - 2 ^ 50
    if bucket >= 2 ^ 52 then
      return math.huge
    elseif id < -2 ^ 49 then
      return -2 ^ 49 + (id + 2 ^ 49) * 16
    elseif id > 2 ^ 51 then
      return 2 ^ 51 + (id - 2 ^ 51) * 8
    end
    return id
  end,
  total = function(bucket)
    local step = bucket - 2 ^ 43
    local function amount(n)
      return math.ldexp(0.5 + n % 2 ^ 36 / 2 ^ 37, math.floor(n / 2 ^ 36) - 20)
    end
    return step > 0 and amount(step) or step == 0 and 0 or -amount(-step), step < 0
  end,
}

-- Where the scores of a bucket and of those above it begin, as ZRANGE takes it.
local function score_from(field, bucket)
  if bucket <= 0 then
    return '-inf'
  elseif bucket >= 2 ^ SLICES[field] then
    return '(+inf'
  end
  local score, open = FIRST_SCORE[field](bucket)
  return string.format(open and '(%.17g' or '%.17g', score)
end

local function slice_of(field, k)
  return PREFIX .. 'bits:by:' .. field .. ':' .. k
end

local function has_bit(bucket, k)
  return math.floor(bucket / 2 ^ k) % 2 == 1
end

-- Of the member at a rank of by:<field>; nil if there is none.
local function bucket_at(key, field, rank)
  local score = rank >= 0 and redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2]
  return score and BUCKET[field](tonumber(score)) or nil
end

-- Slices from the lowest on, above which two buckets, and all in between, are alike.
local function slices_between(low, high)
  local slices = 0
  while low ~= high do
    low, high, slices = math.floor(low / 2), math.floor(high / 2), slices + 1
  end
  return slices
end

-- Those that have in the lowest `slices` a number that is not below the one of `bucket` there: the slices from the lowest
-- bit that is 1 on, one after the other; an operation for all that follow each other and have the same bit. May be a bitmap
-- of the read model.
local function at_least_in(field, bucket, slices)
  local result, run, operation
  local function combined_run()
    if #run == 1 then
      return run[1]
    end
    result = result or new_name()
    return combine_into(result, operation, unpack(run))
  end
  for k = 0, slices - 1 do
    local slice, is_one = slice_of(field, k), has_bit(bucket, k)
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

-- Of each field the lowest slices, above which the buckets of all groups are alike, and what those have there.
local slices_in_use = {}

-- 0 where a bucket has above those what all groups have, less if it is below all of them, more if it is beyond; and those
-- slices.
local function beyond_use(key, field, bucket)
  if not slices_in_use[field] then
    local lowest = bucket_at(key, field, 0)
    local slices = slices_between(lowest, bucket_at(key, field, redis.call('ZCARD', key) - 1))
    slices_in_use[field] = {slices, math.floor(lowest / 2 ^ slices)}
  end
  local slices, alike = unpack(slices_in_use[field])
  return math.floor(bucket / 2 ^ slices) - alike, slices
end

-- Those whose bucket is `bucket` or above. May be a bitmap of the read model.
local function at_least(key, field, bucket)
  local beyond, slices = beyond_use(key, field, bucket)
  if beyond ~= 0 then
    return beyond < 0 and ALL or empty_mask()
  end
  return at_least_in(field, bucket, slices)
end

-- Those whose buckets are from `low` on, but below `high`: the groups that one of two masks has, but not the other. In the
-- slices in which `low` and `high` are alike, so are the groups.
local function between(key, field, low, high)
  local below, slices = beyond_use(key, field, low)
  if below ~= 0 or beyond_use(key, field, high) ~= 0 then
    return at_least(key, field, low), at_least(key, field, high)
  end
  local own, with, without = slices_between(low, high), {}, {}
  for k = own, slices - 1 do
    append(has_bit(low, k) and with or without, {slice_of(field, k)})
  end
  local mask = combined('XOR', at_least_in(field, low, own), at_least_in(field, high, own))
  for part in chunks(with, COMBINED_FAST - 1) do
    combine_into(mask, 'AND', mask, unpack(part))
  end
  local others = empty_mask()
  for part in chunks(without, COMBINED_FAST - 1) do
    combine_into(others, 'OR', others, unpack(part))
  end
  return mask, combine_into(others, 'AND', others, mask)
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

-- The bucket with which those begin whose score is `lo`, as ZCOUNT takes it, or beyond; and who lies between that bucket's
-- beginning and `lo`. Where many are in the bucket of `lo`, it is that or the one after it: on which side there are fewer.
local function edge(key, field, lo)
  local wanted = redis.call('ZCOUNT', key, lo, '+inf')
  if wanted == 0 then
    return math.huge, {}
  elseif wanted == redis.call('ZCARD', key) then
    return 0, {}
  end
  local bucket, ids = BUCKET[field](bound(lo)), {}
  local near = redis.call('ZRANGE', key, beside(lo), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, SPARING, 'WITHSCORES')
  local below = #near < 2 * SPARING and -1 or BUCKET[field](tonumber(near[#near]))
  if below < bucket then
    local from = roundest(bucket, below)
    for i = 1, #near, 2 do
      if BUCKET[field](tonumber(near[i + 1])) >= from then
        ids[#ids + 1] = near[i]
      end
    end
    return from, ids
  end
  local from, to = score_from(field, bucket), beside(score_from(field, bucket + 1))
  if redis.call('ZCOUNT', key, from, beside(lo)) > redis.call('ZCOUNT', key, lo, to) then
    return bucket + 1, redis.call('ZRANGE', key, lo, to, 'BYSCORE')
  end
  return bucket, redis.call('ZRANGE', key, from, beside(lo), 'BYSCORE')
end

-- Turns the bits, in a mask of ours, of those between two scores.
local function turn_between(mask, key, field, lo, hi)
  local kept = masks
  local low, before_low = edge(key, field, lo)
  local high, before_high = edge(key, field, beside(hi))
  if low ~= high then
    combine_into(mask, 'XOR', mask, between(key, field, low, high))
  end
  drop_masks(kept)
  turn_bits(mask, before_low)
  turn_bits(mask, before_high)
end
