-- Groups in the order of the list. What answers ids may answer nil and an error reply instead.

-- Groups that a walk looks at by one command at most.
local STRIDE_GROUPS = 200

-- `ids`, each once, in the ascending order of by:sort: so does Redis sort what two sets have in common.
local function sorted(ids)
  tell('sort', BY_SORT, #ids)
  local own = empty_mask()
  for part in chunks(ids) do
    redis.call('SADD', own, unpack(part))
    has_key[own] = true
  end
  local common = {'ZINTER', 2, own, BY_SORT, 'WEIGHTS', 0, 1, ROTATED and 'WITHSCORES' or nil}
  local ordered = redis.call(unpack(common))
  if #ordered < (ROTATED and 2 or 1) * #ids then
    return nil, redis.error_reply('MISSING members of ' .. BY_SORT)
  elseif not ROTATED then
    return ordered
  end
  local found, with_value = {}, {}
  for i = 1, #ordered, 2 do
    local some = ordered[i + 1] == 'inf' and found or with_value
    some[#some + 1] = ordered[i]
  end
  append(found, with_value)
  return found
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

-- Of `ids` those of a mask, in the order given; of none that is not listed.
local function of_mask(mask)
  return function(ids)
    local ordinals, kept = redis.call('ZMSCORE', ORDINAL, unpack(ids)), {}
    for i, ordinal in ipairs(ordinals) do
      if not ordinal then
        return nil, redis.error_reply('MISSING ' .. ids[i])
      end
      ordinals[i] = tonumber(ordinal)
    end
    for n, i in ipairs(reader_of_bits(ordinals)(mask)) do
      kept[n] = ids[i]
    end
    return kept
  end
end

-- Looks at all groups one by one, from the rank `start` of all on, for those at some ranks of a list of which `probe` keeps
-- those of it; nil if they are not among the first `most`. `stride`: how many are looked at by one command, if that is not
-- too many.
local function walked(probe, start, first, last, step, most, stride)
  local found, rank, passed = {}, start, 0
  local stop = math.min(card, start + most)
  stride = math.min(stride, STRIDE_GROUPS)
  while rank < stop and passed <= last do
    local ids, fault = probe(ranked(rank, math.min(rank + stride, stop) - 1))
    if fault then
      return nil, fault
    end
    for _, id in ipairs(ids) do
      if passed >= first and passed <= last and (passed - first) % step == 0 then
        found[#found + 1] = id
      end
      passed = passed + 1
    end
    rank = rank + stride
  end
  tell('walk', BY_SORT, math.min(rank, stop) - start)
  return passed > last and found or nil
end
