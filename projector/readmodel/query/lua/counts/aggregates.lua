-- What is counted beside a page, of the same snapshot. In the query, each of them or nil:
--
--   facets          {field, own: the number of the filter that is left out, if one is, most, prefers: see facets.lua}
--   sums            true: the totals, by currency
--   edges           of a histogram, see histogram.lua
--   values_max      values of a field, if all are counted
--   currencies_max  currencies, for sums
--   rows_at_once    groups whose rows are read in this call, to count their sellers
--   rows_max        and in calls before it
--   sellers_work    what counting sellers by values may take, in members that are set one by one
--   facet_work      the same for another field
--   histogram_work  the same for a part of a histogram
--   sum_work        the same for sums
--
-- Of the arguments of combine.lua, `most` is in place of that of the facets, or 0 to count nothing.
local query, shard, masks, facets, sums, histogram = query, shard, masks, facets, sums, histogram

local MOST = tonumber(ARGV[15])

-- The numbers of the filters that a facet leaves out. They are not prepared with others, but each gets a mask.
local own = {}
for _, facet in ipairs(query.facets or {}) do
  own[facet.own or 0] = true
end
own[0] = nil

-- Returns the name of a filter that is left out, and takes too long to be made at once.
local function too_long(filters)
  for number in pairs(own) do
    if filters[number].work() > query.facet_work then
      return filters[number].name
    end
  end
end

-- The mask of all filters but one, and how many groups it has. `parts`: the masks of the filters `wanted`.
local function without(number, parts, wanted)
  local left = {}
  for i, one in ipairs(wanted) do
    if one.number ~= number then
      left[#left + 1] = parts[i]
    end
  end
  local mask = #left > 0 and masks.pin(masks.combined_all('AND', left)) or shard.listed
  return mask, masks.count(mask)
end

-- Answers {facets, sums, histogram}, each empty if not wanted; or nil, and a code of combine.lua with what it says.
local function of(mask, count, parts, wanted, tell)
  local found = {{}, {}, {}}
  for i, facet in ipairs(query.facets or {}) do
    local its_mask, its_count = mask, count
    if facet.own then
      its_mask, its_count = without(facet.own, parts, wanted)
    end
    facet.most = facet.most and MOST
    local counted, code, more = facets.of(facet, its_mask, its_count)
    if not counted then
      return nil, code, more
    end
    tell('facet', facets.key_of(facet.field), (#counted - 1) / 2)
    found[1][i] = counted
  end
  if query.edges then
    found[3] = histogram.of(query.edges, mask)
    if not found[3] then
      return nil, 'TOO_MUCH', 'total'
    end
    tell('histogram', shard.created, #found[3][2])
  elseif query.sums then
    found[2] = sums.of(mask, count)
    if not found[2] then
      return nil, 'TOO_MUCH', 'total'
    end
    tell('sum', shard.prefix .. 'bits:by:total', #found[2])
  end
  return found
end

return {
  of = of,
  are_wanted = MOST > 0 and (query.facets or query.sums or query.edges) and true or false,
  own = own,
  too_long = too_long,
}
