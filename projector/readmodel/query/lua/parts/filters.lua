-- The filters of a query. Each is a table with
--
--   name        the first key that it reads
--   size()      members at most; infinite if it is not known
--   list()      the members, perhaps with unlisted ones, each once; only if `size` is finite
--   keep(some)  those of some groups, whose rows were read, that pass, in the order given
--   mask()      a bitmap of the groups that pass
--   look_up(some)  as `keep`, but never makes a bitmap
--   work(n)     the cost of `keep` for n groups, or of `mask` without n. The unit is setting one bit in a bitmap
-- and, if prepare.lua may have to make its mask in several calls,
--   pieces      the number of parts that the mask is made of
--   operation   that combines them, OR or XOR
--   work_of(i)  the cost of the i-th of them
--   part(first, last)  the bitmap of some of them
--
-- of:<field>:<value>       sorted set  members, scored by created_at
-- bits:of:<field>:<value>  string      the same as a bitmap, if they are many
-- by:created_at            sorted set  members, scored by created_at
-- ordinal                  hash        group id -> member
local shard, masks, slices, rows = shard, masks, slices, rows

-- What it takes to read a small set, beside its members.
local WORK_OF_A_SET = 5

local function sum(number, of)
  local total = 0
  for i = 1, number do
    total = total + of(i)
  end
  return total
end

local function constant(value)
  return function()
    return value
  end
end

-- A function that keeps what `make` returns, if that takes a number, for each.
local function once(make)
  local made = {}
  return function(i)
    local key = i or 1
    if made[key] == nil then
      made[key] = make(i)
    end
    return made[key]
  end
end

-- Any of some values. `look_ups`: how often `keep` looks a group up in a set; beyond that it makes a bitmap.
local function of_values(names, look_ups)
  -- Without values nothing passes.
  local self = {name = shard.prefix .. (names[1] or 'of:'), pieces = #names, operation = 'OR'}
  local size_of = once(function(i)
    return redis.call('ZCARD', shard.prefix .. names[i])
  end)
  -- False if there is none, or it would take longer than the members.
  local bitmap = once(function(i)
    return size_of(i) > masks.work() and masks.long(shard.prefix .. 'bits:' .. names[i]) or false
  end)

  self.size = once(function()
    return sum(#names, size_of)
  end)

  function self.list()
    local ordinals, seen = {}, {}
    for i, name in ipairs(names) do
      if size_of(i) > 0 then
        for _, ordinal in ipairs(shard.ranked(shard.prefix .. name, 0, -1)) do
          if not seen[ordinal] then
            seen[ordinal] = true
            ordinals[#ordinals + 1] = ordinal
          end
        end
      end
    end
    return ordinals
  end

  function self.look_up(some)
    local passes, kept = {}, {}
    for i, name in ipairs(names) do
      if size_of(i) > 0 then
        shard.in_parts(some, function(part, first)
          local scores = redis.call('ZMSCORE', shard.prefix .. name, unpack(shard.members_of(part)))
          for n, score in ipairs(scores) do
            passes[first + n - 1] = passes[first + n - 1] or score
          end
        end)
      end
    end
    for n, ordinal in ipairs(some) do
      if passes[n] then
        kept[#kept + 1] = ordinal
      end
    end
    return kept
  end

  local function looks_up(number)
    return number * #names <= look_ups
  end

  function self.keep(some)
    return looks_up(#some) and self.look_up(some) or masks.kept(self.mask(), some)
  end

  function self.work(number)
    return number and looks_up(number) and 0 or sum(#names, self.work_of)
  end

  function self.work_of(i)
    return bitmap(i) and masks.work() or size_of(i) + WORK_OF_A_SET
  end

  function self.part(first, last)
    local parts, ordinals = {}, {}
    for i = first, last do
      if bitmap(i) then
        parts[#parts + 1] = bitmap(i)
      elseif size_of(i) > 0 then
        for _, ordinal in ipairs(shard.ranked(shard.prefix .. names[i], 0, -1)) do
          ordinals[#ordinals + 1] = ordinal
        end
      end
    end
    if #ordinals > 0 then
      table.insert(parts, 1, masks.of_ordinals(ordinals))
    end
    return masks.combined_all('OR', parts)
  end

  self.mask = once(function()
    return self.part(1, #names)
  end)
  return self
end

-- A set of integers. `range`: {field, bounds as rows.lua has them, pieces as slices.lua has them, scores: {lo, hi} of
-- each interval as ZCOUNT takes them, for created_at alone}.
local function of_range(range)
  local self = {field = range.field, scores = range.scores, pieces = #range.pieces, operation = 'XOR'}
  self.name = range.scores and shard.created or shard.prefix .. 'bits:by:' .. range.field

  self.size = once(function()
    return range.scores and sum(#range.scores, function(i)
      return redis.call('ZCOUNT', shard.created, unpack(range.scores[i]))
    end) or math.huge
  end)

  function self.list()
    local ordinals = {}
    for _, one in ipairs(range.scores) do
      for _, member in ipairs(redis.call('ZRANGE', shard.created, one[1], one[2], 'BYSCORE')) do
        ordinals[#ordinals + 1] = struct.unpack('>I4', member)
      end
    end
    return ordinals
  end

  function self.keep(some)
    return rows.within(some, range.field, range.bounds)
  end
  self.look_up = self.keep

  function self.work(number)
    return number and 0 or sum(self.pieces, self.work_of)
  end

  function self.work_of()
    return slices.number(range.field) * masks.work()
  end

  function self.part(first, last)
    return slices.within(range.field, range.pieces, first, last)
  end

  self.mask = once(function()
    return self.part(1, #range.pieces)
  end)
  return self
end

-- Ids: few by their nature, so they are always listed.
local function of_ids(ids)
  local self = {name = shard.ordinal, size = constant(#ids), work = constant(0)}

  self.list = once(function()
    local ordinals = {}
    shard.in_parts(ids, function(part)
      for _, member in ipairs(redis.call('HMGET', shard.ordinal, unpack(part))) do
        if member then
          ordinals[#ordinals + 1] = struct.unpack('>I4', member)
        end
      end
    end)
    return ordinals
  end)

  function self.keep(some)
    local is_wanted, kept = {}, {}
    for _, ordinal in ipairs(self.list()) do
      is_wanted[ordinal] = true
    end
    for _, ordinal in ipairs(some) do
      if is_wanted[ordinal] then
        kept[#kept + 1] = ordinal
      end
    end
    return kept
  end
  self.look_up = self.keep

  self.mask = once(function()
    return masks.combined('AND', shard.listed, masks.of_ordinals(self.list()))
  end)
  return self
end

-- A bitmap that is made already.
local function of_mask(name, mask)
  return {
    name = name,
    size = constant(math.huge),
    keep = function(some)
      return masks.kept(mask, some)
    end,
    mask = constant(mask),
    work = constant(0),
  }
end

-- The filters of a query by their numbers: values, ranges, then ids.
local function of_query(query)
  local filters = {}
  for _, names in ipairs(query.values) do
    filters[#filters + 1] = of_values(names, query.look_ups)
  end
  for _, range in ipairs(query.ranges) do
    filters[#filters + 1] = of_range(range)
  end
  if query.ids then
    filters[#filters + 1] = of_ids(query.ids)
  end
  return filters
end

return {of_query = of_query, of_mask = of_mask}
