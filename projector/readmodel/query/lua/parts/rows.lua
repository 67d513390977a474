-- Rows, and the columns in their heads.
--
-- row  hash  member -> head of 34 bytes, the JSON object of the default fields, then each seller after 0xFF; of listed
--            groups
local shard = shard

local HEAD_BYTES, END = 34, '\255'

-- How struct.unpack reads a column, and from which byte. A total has a second number: its lower 40 bits.
local FORMATS = {
  created_at = {'>i7', 1},
  updated_at = {'>i7', 8},
  total = {'>i6I5', 15},
  seller_count = {'>I2', 26},
  display_id = {'>i7', 28},
}
local NO_NUMBER = -2 ^ 55

local rows = {}

-- Reads the rows of these groups. Returns those that have one, which are listed, in the order given.
local function listed(ordinals)
  local unknown, found = {}, {}
  for _, ordinal in ipairs(ordinals) do
    if rows[ordinal] == nil then
      unknown[#unknown + 1] = ordinal
    end
  end
  shard.in_parts(unknown, function(part)
    for i, row in ipairs(redis.call('HMGET', shard.row, unpack(shard.members_of(part)))) do
      rows[part[i]] = row
    end
  end)
  for _, ordinal in ipairs(ordinals) do
    if rows[ordinal] then
      found[#found + 1] = ordinal
    end
  end
  return found
end

-- The column of a row that was read, as two numbers; nil for a display_id that is not there.
local function column(ordinal, field)
  local format = FORMATS[field]
  local high, low = struct.unpack(format[1], rows[ordinal], format[2])
  if field == 'total' then
    return high, low
  end
  return high ~= NO_NUMBER and high or nil, 0
end

-- Groups whose rows were read, in the order of the list. Those without a display_id are the last.
--
-- A total may have more digits than a double, so its double only says which totals are near each other. To sort doubles
-- is several times faster than to sort tables.
local function sorted(ordinals, field, descending)
  local near, values, found = {}, {}, {}
  for _, ordinal in ipairs(ordinals) do
    local high, low = column(ordinal, field)
    local value = high and high * 2 ^ 40 + low or descending and -math.huge or math.huge
    if not near[value] then
      near[value], values[#values + 1] = {}, value
    end
    table.insert(near[value], {high, low, ordinal})
  end
  table.sort(values)
  for i = 1, #values do
    local some = near[values[descending and #values + 1 - i or i]]
    table.sort(some, function(left, right)
      if descending then
        left, right = right, left
      end
      if left[1] ~= right[1] then
        return left[1] < right[1]
      elseif left[2] ~= right[2] then
        return left[2] < right[2]
      end
      return left[3] < right[3]
    end)
    for _, one in ipairs(some) do
      found[#found + 1] = one[3]
    end
  end
  return found
end

-- Of groups whose rows were read, those in a set of integers, which begins and ends by turns at its bounds.
local function within(ordinals, field, bounds)
  local kept = {}
  for _, ordinal in ipairs(ordinals) do
    local high, low = column(ordinal, field)
    -- The number of bounds that are not above it.
    local first, past = 0, high and #bounds or 0
    while first < past do
      local middle = math.floor((first + past) / 2) + 1
      local bound = bounds[middle]
      if high > bound[1] or high == bound[1] and low >= bound[2] then
        first = middle
      else
        past = middle - 1
      end
    end
    if first % 2 == 1 then
      kept[#kept + 1] = ordinal
    end
  end
  return kept
end

-- Of a row that was read: the head and the JSON object.
local function of(ordinal)
  local row = rows[ordinal]
  local stop = string.find(row, END, HEAD_BYTES + 1, true)
  return stop and string.sub(row, 1, stop - 1) or row
end

-- The sellers of each of some groups, joined by 0xFF; empty for one that is not listed. Their rows are not kept, for
-- they may be many.
local function sellers(ordinals)
  local find, sub, found = string.find, string.sub, {}
  shard.in_parts(ordinals, function(part)
    for _, row in ipairs(redis.call('HMGET', shard.row, unpack(shard.members_of(part)))) do
      local stop = row and find(row, END, HEAD_BYTES + 1, true)
      found[#found + 1] = stop and sub(row, stop + 1) or ''
    end
  end)
  return found
end

-- The bytes of a total in the head.
local function total(ordinal)
  return string.sub(rows[ordinal], 15, 25)
end

return {
  listed = listed,
  sorted = sorted,
  within = within,
  column = column,
  of = of,
  sellers = sellers,
  total = total,
}
