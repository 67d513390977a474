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

-- The members of a value that are in the mask, and what it takes to know it.
local function of_value(mask, field, value, size)
  local bitmap = masks.long(shard.prefix .. 'bits:of:' .. field .. ':' .. value)
  if bitmap then
    local both = masks.combined('AND', mask, bitmap)
    local number = masks.count(both)
    masks.give_back(both)
    return number, 2 * masks.work()
  end
  return #masks.kept(mask, shard.ranked(shard.prefix .. 'of:' .. field .. ':' .. value, 0, -1)), size
end

-- By values, the largest first, until none that is left can be among the most. It has no more groups in the mask than
-- in all.
local function by_values(mask, field, most, work_left)
  local counted, rank, least, add = {0}, 0, 0, most and largest(most)
  while true do
    local some = redis.call('ZRANGE', key_of(field), rank, rank + STRIDE - 1, 'REV', 'WITHSCORES')
    if #some == 0 then
      return counted
    end
    for i = 1, #some, 2 do
      local value, size = some[i], tonumber(some[i + 1])
      if size < least then
        counted[1] = size
        return counted
      elseif work_left < 0 then
        return nil
      end
      local number, work = of_value(mask, field, value, size)
      work_left = work_left - work
      if number > 0 then
        counted[#counted + 1], counted[#counted + 2] = value, number
        least = add and add(number) or 0
      end
    end
    rank = rank + STRIDE
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

-- Most filters have no preference for some sellers, so a few sellers are looked at. One by a seller has.
local function of_sellers(facet, mask, count)
  if count <= query.rows_at_once then
    return by_rows(mask, count, facet.most)
  elseif COMMIT >= 0 then
    return by_rows_read(mask)
  end
  local is_known = not facet.prefers or facet.own or count > query.rows_max
  local found = is_known and by_values(mask, facet.field, facet.most, query.sellers_work)
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
  local found = by_values(mask, field, nil, query.facet_work)
  return found, 'TOO_MUCH', field
end

return {of = of, key_of = key_of}
