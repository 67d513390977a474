-- Ranks of a list: which groups are at them.
local shard, masks, slices, rows = shard, masks, slices, rows

-- Groups that one command of a walk looks at.
local STRIDE = 200

-- Of a list in order, the groups at the ranks from `first` to `last`.
local function cut(ordinals, first, last)
  return {unpack(ordinals, first + 1, math.min(last + 1, #ordinals))}
end

-- A function (mask, count, first, last, found) that appends to `found` the groups at some ranks among the `count`
-- groups of a mask. `sort`: {field, slices, descending}; `listed`: groups beyond those of the page that are listed and
-- sorted.
--
-- From the highest slice on: the groups with a bit of 1 come before or after those with 0, so to count them tells on
-- which side the ranks are, perhaps on both. What no slice tells apart is equal, and comes by ordinal.
local function cutter(sort, listed, tell)
  local descending, sign = sort.descending, sort.slices - 1

  local function by_ordinal(mask, count, first, last, found)
    if descending then
      first, last = count - 1 - last, count - 1 - first
    end
    local ordinals = masks.at_ranks(mask, first, last)
    for i = 1, #ordinals do
      found[#found + 1] = ordinals[descending and #ordinals + 1 - i or i]
    end
  end

  local function by_slices(mask, count, k, first, last, found)
    while k >= 0 and count > last - first + 1 + listed do
      local key = slices.slice(sort.field, k)
      local ones = key and masks.combined('AND', mask, key)
      local number = ones and masks.count(ones) or 0
      if number > 0 and number < count then
        local is_ones_ahead = descending ~= (k == sign)
        local ahead_count = is_ones_ahead and number or count - number
        if first < ahead_count and last >= ahead_count then
          -- The page is on both sides: what is ahead is cut on its own.
          local ahead = is_ones_ahead and masks.combined('OR', ones) or masks.combined('XOR', mask, ones)
          by_slices(ahead, ahead_count, k - 1, first, ahead_count - 1, found)
          first = ahead_count
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
      by_ordinal(mask, count, first, last, found)
    else
      local ordinals = rows.listed(masks.at_ranks(mask, 0, count - 1))
      tell('sort', shard.row, #ordinals)
      for _, ordinal in ipairs(cut(rows.sorted(ordinals, sort.field, descending), first, last)) do
        found[#found + 1] = ordinal
      end
    end
    masks.give_back(mask)
  end

  return function(mask, count, first, last, found)
    if sort.field ~= 'display_id' then
      return by_slices(mask, count, sign, first, last, found)
    end
    -- Groups without a display_id come last, whatever the direction.
    local with = masks.combined('AND', mask, shard.numbered)
    local number = masks.count(with)
    if last >= number then
      local without = masks.combined('XOR', mask, with)
      if first < number then
        by_slices(with, number, sign, first, number - 1, found)
      end
      by_ordinal(without, count - number, math.max(first - number, 0), last - number, found)
      masks.give_back(without)
    else
      by_slices(with, number, sign, first, last, found)
    end
  end
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

return {cut = cut, cutter = cutter, walked = walked}
