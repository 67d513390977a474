-- Ranks of a list: which groups are at them.
local shard, masks, slices, rows = shard, masks, slices, rows

-- Groups that one command of a walk looks at.
local STRIDE = 200

-- Of a list in order, the groups at every step-th rank from `first` to `last`.
local function cut(ordinals, first, last, step)
  local found = {}
  for rank = first, math.min(last, #ordinals - 1), step do
    found[#found + 1] = ordinals[rank + 1]
  end
  return found
end

-- Of the `count` groups of a mask, those at every step-th rank from `first` to `last`, which is one of these. `sort`:
-- {field, slices, descending}; `listed`: groups beyond those at the ranks that are listed and sorted.
--
-- From the highest slice on: the groups with a bit of 1 come before or after those with 0, so to count them tells on
-- which side the ranks are, perhaps on both. What no slice tells apart is equal, and comes by ordinal.
local function of_mask(sort, listed, tell, all, number, from, to, step)
  local descending, sign, found = sort.descending, sort.slices - 1, {}

  -- The first one of the ranks that is not before a border.
  local function behind(first, border)
    return first + math.max(0, math.ceil((border - first) / step)) * step
  end

  local function by_ordinal(mask, count, first, last)
    if step > 1 then
      for rank = first, last, step do
        local its_rank = descending and count - 1 - rank or rank
        found[#found + 1] = masks.at_ranks(mask, its_rank, its_rank)[1]
      end
      return
    end
    if descending then
      first, last = count - 1 - last, count - 1 - first
    end
    local ordinals = masks.at_ranks(mask, first, last)
    for i = 1, #ordinals do
      found[#found + 1] = ordinals[descending and #ordinals + 1 - i or i]
    end
  end

  local function by_slices(mask, count, k, first, last)
    while k >= 0 and count > (last - first) / step + 1 + listed do
      local key = slices.slice(sort.field, k)
      local ones = key and masks.combined('AND', mask, key)
      local ones_count = ones and masks.count(ones) or 0
      if ones_count > 0 and ones_count < count then
        local is_ones_ahead = descending ~= (k == sign)
        local ahead_count = is_ones_ahead and ones_count or count - ones_count
        if first < ahead_count and last >= ahead_count then
          -- The ranks are on both sides: what is ahead is cut on its own.
          local ahead = is_ones_ahead and masks.combined('OR', ones) or masks.combined('XOR', mask, ones)
          local next_first = behind(first, ahead_count)
          by_slices(ahead, ahead_count, k - 1, first, next_first - step)
          first = next_first
        end
        local is_ahead = first < ahead_count
        local next_mask = ones
        if is_ahead ~= is_ones_ahead then
          next_mask = masks.combined('XOR', mask, ones)
          masks.give_back(ones)
        end
        masks.give_back(mask)
        mask = next_mask
        if is_ahead then
          count = ahead_count
        else
          count, first, last = count - ahead_count, first - ahead_count, last - ahead_count
        end
      elseif ones then
        masks.give_back(ones)
      end
      k = k - 1
    end
    tell('slices', shard.prefix .. 'bits:by:' .. sort.field, count)
    if k < 0 then
      by_ordinal(mask, count, first, last)
    else
      local ordinals = rows.listed(masks.at_ranks(mask, 0, count - 1))
      tell('sort', shard.row, #ordinals)
      for _, ordinal in ipairs(cut(rows.sorted(ordinals, sort.field, descending), first, last, step)) do
        found[#found + 1] = ordinal
      end
    end
    masks.give_back(mask)
  end

  if sort.field ~= 'display_id' then
    by_slices(all, number, sign, from, to)
    return found
  end
  -- Groups without a display_id come last, whatever the direction.
  local with = masks.combined('AND', all, shard.numbered)
  local with_count = masks.count(with)
  if to < with_count then
    by_slices(with, with_count, sign, from, to)
    return found
  end
  local without, next_from = masks.combined('XOR', all, with), behind(from, with_count)
  if from < with_count then
    by_slices(with, with_count, sign, from, next_from - step)
  end
  by_ordinal(without, number - with_count, next_from - with_count, to - with_count)
  return found
end

-- The groups of a mask at some ranks of its list by created_at, found by looking at groups in that order; nil if they
-- are not likely to be among the next `most`. `start`: the rank of the first one among all groups, `near`: how many
-- come from there on that the mask may have.
local function walked(mask, count, descending, start, near, first, last, most, tell)
  if (last + 1) * near > most * count then
    return nil
  end
  local found, passed, rank = {}, 0, start
  -- Twice as many as are to be expected.
  while passed <= last and rank < start + 2 * most do
    local next_ones = shard.ranked(shard.created, rank, rank + STRIDE - 1, descending)
    for _, ordinal in ipairs(masks.kept(mask, next_ones)) do
      if passed >= first and passed <= last then
        found[#found + 1] = ordinal
      end
      passed = passed + 1
    end
    rank = rank + STRIDE
  end
  tell('walk', shard.created, rank - start)
  return passed > last and found or nil
end

return {cut = cut, of_mask = of_mask, walked = walked}
