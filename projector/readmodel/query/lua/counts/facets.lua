-- How many groups of a mask each value of a field has.
--
-- values:<field>           sorted set  values, scored by the number of their groups
-- of:<field>:<value>       sorted set  members, scored by created_at
-- bits:of:<field>:<value>  string      the same as a bitmap, if they are many
-- row                      hash        member -> head, JSON, sellers; see rows.lua
--
-- A count is {bound, value, groups, value, groups, ...}: the values, in any order, that may be among the top `most`
-- values of the shard, by number of groups, and maybe others. A value that is not there has at most `bound` groups; 0:
-- all are there. Or, of sellers that the caller has read, {-1, ordinal, sellers, ordinal, sellers, ...}: the groups
-- that commits changed since, with their sellers joined by 0xFF, none for a group that is not in the mask.
-- Nil and a code where it is not counted:
--   TOO_MUCH  it is too much work; third, the field
--   SELLERS   the caller is to read the sellers of the groups first; third, {number and digest of the newest commit,
--             mask, groups that changed since it last did, nil if that is not known}
local query, shard, masks, rows, changes = query, shard, masks, rows, changes

-- Of the sellers that the caller has read: the commit when it began, -1 if there are none.
local COMMIT, DIGEST = tonumber(ARGV[16]), ARGV[17]
-- Values that one command reads.
local STRIDE = 64
-- Values that are looked at together, at most, and how much of the least of the largest they are expected to have in
-- all: as much as leaves room for chance.
local TOGETHER, SHARE = 16, 0.9
-- What it takes to read the sellers of a group, in members that are set one by one.
local WORK_OF_A_ROW = 3

local function key_of(field)
  return shard.prefix .. 'values:' .. field
end

-- Of all listed groups: the scores.
local function of_all(key, most)
  local found = redis.call('ZRANGE', key, 0, most, 'REV', 'WITHSCORES')
  -- Of those with as many groups as the last one, the first by name: as in an answer.
  local last, counted = found[2 * most], {tonumber(found[2 * most + 2] or 0)}
  for i = 1, math.min(2 * most, #found), 2 do
    if counted[1] == 0 or found[i + 1] ~= last then
      counted[#counted + 1], counted[#counted + 2] = found[i], found[i + 1]
    end
  end
  local left = counted[1] == 0 and 0 or most - (#counted - 1) / 2
  for _, value in ipairs(left > 0 and redis.call('ZRANGE', key, last, last, 'BYSCORE', 'LIMIT', 0, left) or {}) do
    counted[#counted + 1], counted[#counted + 2] = value, last
  end
  return counted
end

-- Keeps the `most` largest numbers that were added, ascending. Returns a function that adds one and returns the least
-- of them, 0 as long as they are fewer.
local function largest(most)
  local kept = {}
  return function(number)
    if #kept == most and number <= kept[1] then
      return kept[1]
    end
    local first, past = 1, #kept + 1
    while first < past do
      local middle = math.floor((first + past) / 2)
      if kept[middle] < number then
        first = middle + 1
      else
        past = middle
      end
    end
    table.insert(kept, first, number)
    if #kept > most then
      table.remove(kept, 1)
    end
    return #kept == most and kept[1] or 0
  end
end

-- By the rows of the groups, each of which has its sellers.
local function by_rows(mask, count, most)
  local groups = {}
  for _, sellers in ipairs(rows.sellers(masks.ordinals(mask, count))) do
    for value in string.gmatch(sellers, '[^\255]+') do
      groups[value] = (groups[value] or 0) + 1
    end
  end
  -- How many values have so many groups, to find how many those have that may be among the most.
  local values_with, least, left = {}, 0, most
  for _, number in pairs(groups) do
    values_with[number] = (values_with[number] or 0) + 1
    least = math.max(least, number)
  end
  while least > 1 and (values_with[least] or 0) < left do
    left = left - (values_with[least] or 0)
    least = least - 1
  end
  local counted = {math.max(least - 1, 0)}
  for value, number in pairs(groups) do
    if number >= least then
      counted[#counted + 1], counted[#counted + 2] = value, number
    end
  end
  return counted
end

-- How many groups of a bitmap are in the mask, and what it takes to know it.
local function of_bitmap(mask, bitmap)
  local both = masks.combined('AND', mask, bitmap)
  local number = masks.count(both)
  masks.give_back(both)
  return number, masks.work() + masks.work_of_count()
end

-- The same for a value.
local function of_value(mask, field, value, size)
  local bitmap = masks.long(shard.prefix .. 'bits:of:' .. field .. ':' .. value)
  if bitmap then
    return of_bitmap(mask, bitmap)
  end
  return #masks.kept(mask, shard.ranked(shard.prefix .. 'of:' .. field .. ':' .. value, 0, -1)), size
end

-- A function that returns the n-th value, the largest first, and its size; nil beyond the last one.
local function by_size(field)
  local read = {}
  return function(n)
    if 2 * n > #read then
      local some = redis.call('ZRANGE', key_of(field), n - 1, n + STRIDE - 2, 'REV', 'WITHSCORES')
      for i = 1, #some do
        read[#read + 1] = some[i]
      end
    end
    return read[2 * n - 1], tonumber(read[2 * n])
  end
end

-- Bitmaps of values from the n-th one on, as long as all of them are expected to have less than `least` groups.
local function together(field, value_at, n, share, least)
  local bitmaps, expected = {}, 0
  while #bitmaps < TOGETHER do
    local value, size = value_at(n + #bitmaps)
    expected = expected + (size or 0) * share
    local bitmap = value and expected < least * SHARE
      and masks.long(shard.prefix .. 'bits:of:' .. field .. ':' .. value)
    if not bitmap then
      break
    end
    bitmaps[#bitmaps + 1] = bitmap
  end
  return bitmaps
end

-- By values, the largest first, until none that is left can be among the most. It has no more groups in the mask than
-- in all. Nor can several, if they have fewer there together than one of the most.
local function by_values(mask, count, field, most, work_left)
  local value_at, counted, least, add = by_size(field), {0}, 0, most and largest(most)
  local share = count / redis.call('ZCARD', shard.created)
  -- Up to `tried` they were looked at together, in vain.
  local n, tried = 1, 0
  while true do
    local value, size = value_at(n)
    if not value then
      return counted
    elseif size < least then
      counted[1] = math.max(counted[1], size)
      return counted
    elseif work_left < 0 then
      return nil
    end
    local some = n > tried and together(field, value_at, n, share, least) or {}
    if #some > 1 then
      local any = masks.combined_all('OR', some)
      local number, work = of_bitmap(mask, any)
      masks.give_back(any)
      work_left = work_left - work - #some * masks.work()
      tried = n + #some - 1
      if number < least then
        counted[1] = math.max(counted[1], number)
        n = tried + 1
      end
    else
      local number, work = of_value(mask, field, value, size)
      work_left = work_left - work
      if number > 0 then
        counted[#counted + 1], counted[#counted + 2] = value, number
        least = add and add(number) or 0
      end
      n = n + 1
    end
  end
end

-- By the sellers that the caller has read, and those of the groups that changed since.
local function by_rows_read(mask)
  local number, digest = changes.newest()
  local ordinals, reached
  if COMMIT >= 0 then
    ordinals, reached = changes.since(COMMIT, DIGEST, query.rows_max)
  end
  if not ordinals or reached ~= number then
    return nil, 'SELLERS', {number, digest, redis.call('GET', mask)}
  elseif #ordinals > query.changed then
    return nil, 'SELLERS', {number, digest, redis.call('GET', mask), ordinals}
  end
  local passing, sellers_of = masks.kept(mask, ordinals), {}
  for i, sellers in ipairs(rows.sellers(passing)) do
    sellers_of[passing[i]] = sellers
  end
  local found = {-1}
  for _, ordinal in ipairs(ordinals) do
    found[#found + 1], found[#found + 2] = ordinal, sellers_of[ordinal] or ''
  end
  return found
end

-- Most filters have no preference for some sellers, so a few sellers are looked at. One by a seller has. And to read
-- the rows of few groups takes no longer than that, in shorter calls.
local function of_sellers(facet, mask, count)
  if count <= query.rows_at_once then
    return by_rows(mask, count, facet.most)
  elseif COMMIT >= 0 then
    return by_rows_read(mask)
  end
  local is_by_rows = facet.prefers and not facet.own or count * WORK_OF_A_ROW <= query.sellers_work
  local found = (count > query.rows_max or not is_by_rows)
    and by_values(mask, count, facet.field, facet.most, query.sellers_work)
  if found then
    return found
  elseif count > query.rows_max then
    return nil, 'TOO_MUCH', facet.field
  end
  return by_rows_read(mask)
end

-- `facet`: {field, own: whether its own filter is left out, most: of the values with most groups at least so many, or
-- all, prefers: whether there is a filter by seller}. `count`: of the groups of `mask`.
local function of(facet, mask, count)
  local field, most = facet.field, facet.most
  if count == 0 then
    return {0}
  elseif most and mask ~= shard.listed then
    return of_sellers(facet, mask, count)
  elseif not most and redis.call('ZCARD', key_of(field)) > query.values_max then
    return nil, 'TOO_MUCH', field
  elseif mask == shard.listed then
    return of_all(key_of(field), most or query.values_max)
  end
  local found = by_values(mask, count, field, nil, query.facet_work)
  return found, 'TOO_MUCH', field
end

return {of = of, key_of = key_of}
