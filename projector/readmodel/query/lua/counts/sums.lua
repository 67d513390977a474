-- Sums of the totals of a mask's groups, for each currency; exact, in parts that a double holds.
--
-- values:currency_code        sorted set  the currencies; an empty one has the groups with an order without currency
-- of:currency_code:<value>    sorted set  members
-- bits:by:total:<k>           string      slices of the totals
local query, shard, masks, slices, rows = query, shard, masks, slices, rows

local FIELD, CURRENCIES = 'total', 'currency_code'
-- Groups whose heads are looked at for the least and the greatest, instead of one more slice.
local FEW = 64

-- The currencies, a mask of each, and one of the groups in exactly one of these. False if they are too many.
local known
local function currencies()
  if known == nil then
    local names = redis.call('ZRANGE', shard.prefix .. 'values:' .. CURRENCIES, 0, query.currencies_max)
    local of, any, several = {}, masks.of_ordinals({}), masks.of_ordinals({})
    for i, name in ipairs(names) do
      of[i] = masks.of_value('of:' .. CURRENCIES .. ':' .. name)
      several = masks.combined('OR', several, masks.combined('AND', any, of[i]))
      any = masks.combined('OR', any, of[i])
    end
    local single = masks.pin(masks.combined('XOR', any, several))
    known = #names <= query.currencies_max and {names = names, of = of, single = single}
  end
  return known
end

-- {currency, mask, count} of each currency that groups of the mask have and no other one, and of the groups that are
-- left, with several or with an order without any.
local function by_currency(mask, count)
  local all, found, left, left_count = currencies(), {}, mask, count
  for i, name in ipairs(all.names) do
    local own = name ~= '' and masks.combined('AND', mask, all.single, all.of[i])
    local number = own and masks.count(own) or 0
    if number > 0 then
      found[#found + 1] = {name, masks.pin(own), number}
      left, left_count = masks.pin(masks.combined('XOR', left, own)), left_count - number
    end
  end
  if left_count > 0 then
    found[#found + 1] = {'', left, left_count}
  end
  return found
end

-- The least or the greatest total of some groups, as in a head. From the sign down: the groups with the better bit, if
-- there are any, go on.
local function extreme(mask, count, is_greatest)
  local sign = query.slices[FIELD] - 1
  for k = sign, 0, -1 do
    if count <= FEW then
      break
    end
    local slice = slices.slice(FIELD, k)
    if slice then
      local wants_ones = is_greatest == (k < sign)
      local ones = masks.combined('AND', mask, slice)
      local number = masks.count(ones)
      local wanted = wants_ones and number or count - number
      if wanted > 0 and wanted < count then
        local better = ones
        if not wants_ones then
          better = masks.combined('XOR', mask, ones)
          masks.give_back(ones)
        end
        masks.give_back(mask)
        mask, count = better, wanted
      else
        masks.give_back(ones)
      end
    end
  end
  -- If more are left than these, they are equal.
  local some = rows.listed(masks.at_ranks(mask, 0, math.min(count, FEW) - 1))
  local sorted = rows.sorted(some, FIELD, is_greatest)
  return rows.total(sorted[1])
end

-- Answers {currency, count, least, greatest, k, groups, k, groups, ...} for each currency: how many groups have the
-- k-th bit; the least and the greatest as in a head; an empty currency: several, or not all known. And the work that it
-- took. Nil if it is too much.
local function of(mask, count)
  if count == 0 then
    return {}, 0
  end
  local found = currencies() and by_currency(mask, count)
  -- Each slice is combined and counted for the sum, the least and the greatest.
  local work_of_one = 3 * (masks.work() + masks.work_of_count()) * slices.number(FIELD)
  if not found or #found * work_of_one > query.sum_work then
    return nil
  end
  local sums = {}
  for i, one in ipairs(found) do
    local currency, own, number = unpack(one)
    local sum = {currency, number, extreme(own, number, false), extreme(own, number, true)}
    for k = 0, query.slices[FIELD] - 1 do
      local slice = slices.slice(FIELD, k)
      if slice then
        local ones = masks.combined('AND', own, slice)
        local groups = masks.count(ones)
        masks.give_back(ones)
        if groups > 0 then
          sum[#sum + 1], sum[#sum + 2] = k, groups
        end
      end
    end
    sums[i] = sum
  end
  return sums, #found * work_of_one
end

return {of = of}
