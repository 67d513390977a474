-- A sorted set that is a list as it stands: at its ranks, and within an interval of scores.
--
-- by:created_at, of:<field>:<value>  sorted set  members in the order of the list
local shard = shard

-- The number of members of a list that do not come after its mark. Those of its score, which may be many, are in order.
local function passed(list, index, ahead, count)
  local mark = list.mark
  if not mark then
    return 0
  end
  local lo, hi = '-inf', '(' .. mark.score
  if list.descending then
    lo, hi = hi, '+inf'
  end
  local before = redis.call('ZCOUNT', index, lo, hi)
  local first, past = before, before + redis.call('ZCOUNT', index, mark.score, mark.score)
  while first < past do
    local middle = math.floor((first + past) / 2)
    local ordinal = shard.ranked(index, middle, middle, list.descending)[1]
    if list.descending and ordinal <= mark.bound or not list.descending and ordinal >= mark.bound then
      past = middle
    else
      first = middle + 1
    end
  end
  return math.max(0, math.min(first - ahead, count))
end

-- The key; the number of members within the scores; how many of these do not come after the mark; a function
-- (first, last, step) that returns the ordinals at every step-th rank of the others.
--
-- `list`: {index: a name without the prefix, lo, hi: bounds of the scores as ZCOUNT takes them, descending,
-- mark: nil, or {score, bound} of the row after which the page begins, see after.lua}
local function of(list)
  local index = shard.prefix .. list.index
  local count = redis.call('ZCOUNT', index, list.lo, list.hi)
  -- Members in front of the list, in its direction.
  local ahead = 0
  if list.descending then
    ahead = redis.call('ZCOUNT', index, list.lo, '+inf') - count
  elseif list.lo ~= '-inf' then
    ahead = redis.call('ZCARD', index) - redis.call('ZCOUNT', index, list.lo, '+inf')
  end
  local skipped = passed(list, index, ahead, count)
  return index, count, skipped, function(first, last, step)
    local start, found = ahead + skipped, {}
    if step == 1 then
      return shard.ranked(index, start + first, start + last, list.descending)
    end
    for rank = start + first, start + last, step do
      found[#found + 1] = shard.ranked(index, rank, rank, list.descending)[1]
    end
    return found
  end
end

return {of = of}
