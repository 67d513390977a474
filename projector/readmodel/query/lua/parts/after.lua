-- What comes after the last row of the page before, in a walk.
--
-- query.mark: nil, or {bound, beyond, equal}
--   bound   of groups with the value of that row, the first ordinal that comes after it; the last one if descending
--   beyond  the values that come after it, as filters.lua takes a range
--   equal   its value; both are nil if that row has no display_id
local query, shard, masks, slices, rows = query, shard, masks, slices, rows

local mark, sort = query.mark, query.sort

local function is_after(ordinal)
  if sort.descending then
    return ordinal <= mark.bound
  end
  return ordinal >= mark.bound
end

-- Of groups whose rows were read, those after the mark, in the order given.
local function kept(ordinals)
  if not mark then
    return ordinals
  end
  local passes, found = {}, {}
  if mark.beyond then
    for _, ordinal in ipairs(rows.within(ordinals, sort.field, mark.beyond.bounds)) do
      passes[ordinal] = true
    end
    for _, ordinal in ipairs(rows.within(ordinals, sort.field, mark.equal.bounds)) do
      passes[ordinal] = is_after(ordinal)
    end
  end
  for _, ordinal in ipairs(ordinals) do
    local is_last = rows.column(ordinal, sort.field) == nil
    if passes[ordinal] or is_last and (mark.beyond or is_after(ordinal)) then
      found[#found + 1] = ordinal
    end
  end
  return found
end

-- The ordinals that come after the bound, listed or not.
local function ordinals_after()
  local length = redis.call('STRLEN', shard.listed)
  -- The first ordinal behind the border.
  local bound = math.max(0, math.min(sort.descending and mark.bound + 1 or mark.bound, 8 * length))
  -- Bits before the bound, then those from it on.
  local byte, before = math.floor(bound / 8), 256 - 2 ^ (8 - bound % 8)
  local first, last = '\255', '\0'
  if not sort.descending then
    first, last, before = '\0', '\255', 255 - before
  end
  return masks.of_bytes(string.rep(first, byte) .. string.char(before) .. string.rep(last, length - byte - 1))
end

-- Of the `count` groups of a mask, those after the mark, as a mask, and their number.
local function rest(mask, count)
  if not mark then
    return mask, count
  end
  local places, parts = ordinals_after(), {}
  if mark.beyond then
    local beyond = slices.within(sort.field, mark.beyond.pieces, 1, #mark.beyond.pieces)
    local equal = slices.within(sort.field, mark.equal.pieces, 1, #mark.equal.pieces)
    parts = {masks.combined('AND', mask, beyond), masks.combined('AND', mask, equal, places)}
  end
  if sort.field == 'display_id' then
    local without = masks.combined('XOR', mask, masks.combined('AND', mask, shard.numbered))
    parts[#parts + 1] = mark.beyond and without or masks.combined('AND', without, places)
  end
  local found = masks.pin(masks.combined_all('OR', parts))
  return found, masks.count(found)
end

return {kept = kept, rest = rest}
