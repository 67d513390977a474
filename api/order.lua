-- Groups in the order of the list. What answers ids may answer nil and an error reply instead.

-- Groups that a walk looks at by one command at most.
local STRIDE_GROUPS = 200

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
