-- Bounds in buckets that have many members on both sides of them, such as the seconds of an import: too many to be looked
-- up in one call.

-- Parts of the members on one side of a bound, about as many at most.
local PARTS_MAX = 250

local function rank_of_bound(key, lo)
  return redis.call('ZCARD', key) - redis.call('ZCOUNT', key, lo, '+inf')
end

-- `lo`: as ZCOUNT takes it.
local function is_crowded(key, field, lo)
  local rank = rank_of_bound(key, lo)
  local before = bucket_at(key, field, rank - q.crowd - 1)
  return before ~= nil and before == BUCKET[field](bound(lo)) and before == bucket_at(key, field, rank + q.crowd)
end

local function is_interval_crowded(key, field, pair)
  return is_crowded(key, field, pair[1]) or is_crowded(key, field, beside(pair[2]))
end

-- Scores that take an interval apart: where its bounds are crowded, into pieces that one call has time for, but for those
-- of one score; what is left between begins and ends with a bucket. None where there is nothing to part.
local function partings(key, field, pair)
  local first = rank_of_bound(key, pair[1])
  local past = first + redis.call('ZCOUNT', key, pair[1], pair[2])
  local scores, lowest, stop = {}, bound(pair[1]), first
  -- The first rank of the interval from which on buckets are `bucket` or above.
  local function rank_of(bucket)
    local from, to = first, past
    while from < to do
      local middle = math.floor((from + to) / 2)
      if bucket_at(key, field, middle) < bucket then
        from = middle + 1
      else
        to = middle
      end
    end
    return from
  end
  local function part_at(rank)
    local score = rank < past and redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2]
    if score and tonumber(score) > lowest then
      scores[#scores + 1], lowest = score, tonumber(score)
    end
  end
  local function part(from, to)
    for rank = from, to, math.max(q.slice, 1, math.ceil((to - from) / PARTS_MAX)) do
      part_at(rank)
    end
  end
  if is_crowded(key, field, pair[1]) then
    stop = rank_of(BUCKET[field](lowest) + 1)
    part(first, stop - 1)
    part_at(stop)
  end
  if is_crowded(key, field, beside(pair[2])) then
    part(math.max(stop, rank_of(BUCKET[field](bound(pair[2])))), past - 1)
  end
  return scores
end
