-- The filters of a query. Each is a table with
--
--   name        the first key that it reads
--   size        members at most; infinite if it is not known
--   list()      the members, perhaps with unlisted ones, each once; only if `size` is finite
--   keep(some)  those of some groups, whose rows were read, that pass, in the order given
--   mask()      a bitmap of the groups that pass
--   look_up(some)  as `keep`, but never makes a bitmap
--   work(n)     the cost of `keep` for n groups, or of `mask` without n. The unit is setting one bit in a bitmap
-- and, if prepare.lua may have to make its mask in several calls,
--   pieces      the number of parts that the mask is made of, by OR, or by XOR for a range
--   work_of(i)  the cost of the i-th of them
--   part(first, last)  the bitmap of some of them
--
-- of:<field>:<value>       sorted set  members, scored by created_at
-- bits:of:<field>:<value>  string      the same as a bitmap, if they are many
-- by:created_at            sorted set  members, scored by created_at
-- ordinal                  hash        group id -> member
local shard, masks, slices, rows = shard, masks, slices, rows

local function work_of_bitmaps(number)
  return number * masks.work()
end

local function work_of_all(filter)
  local work = 0
  for i = 1, filter.pieces do
    work = work + filter.work_of(i)
  end
  return work
end

local function once(make)
  local made
  return function()
    made = made or make()
    return made
  end
end

-- Any of some values. `look_ups`: how often `keep` looks a group up in a set; beyond that it makes a bitmap.
local function of_values(names, look_ups)
  -- Without values nothing passes.
  local self = {name = shard.prefix .. (names[1] or 'of:'), size = 0, pieces = #names}
  local sizes, bitmaps = {}, {}
  for i, name in ipairs(names) do
    sizes[i] = redis.call('ZCARD', shard.prefix .. name)
    self.size = self.size + sizes[i]
  end

  local function bitmap(i)
    if bitmaps[i] == nil then
      bitmaps[i] = sizes[i] > 0 and masks.long(shard.prefix .. 'bits:' .. names[i]) or false
    end
    return bitmaps[i]
  end

  function self.list()
    local ordinals, seen = {}, {}
    for i, name in ipairs(names) do
      if sizes[i] > 0 then
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
      if sizes[i] > 0 then
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
    return number and looks_up(number) and 0 or work_of_all(self)
  end

  function self.work_of(i)
    return bitmap(i) and work_of_bitmaps(1) or sizes[i]
  end

  function self.part(first, last)
    local broad, own = {}, nil
    for i = first, last do
      if bitmap(i) then
        broad[#broad + 1] = bitmap(i)
      elseif sizes[i] > 0 then
        own = own or masks.of_ordinals({})
        masks.set(own, shard.ranked(shard.prefix .. names[i], 0, -1), '1')
      end
    end
    return masks.combined_all('OR', own and {own, unpack(broad)} or broad)
  end

  self.mask = once(function()
    return self.part(1, #names)
  end)
  return self
end

-- A set of integers. `range`: {field, bounds as rows.lua has them, pieces as slices.lua has them, scores: {lo, hi} of
-- each interval as ZCOUNT takes them, for created_at alone}.
local function of_range(range)
  local self = {field = range.field, scores = range.scores, size = math.huge, pieces = #range.pieces}
  self.name = shard.prefix .. 'bits:by:' .. range.field
  if range.scores then
    self.name, self.size = shard.created, 0
    for _, one in ipairs(range.scores) do
      self.size = self.size + redis.call('ZCOUNT', shard.created, one[1], one[2])
    end
  end

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
    return number and 0 or work_of_all(self)
  end

  function self.work_of()
    return work_of_bitmaps(slices.number(range.field))
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
  local self = {name = shard.ordinal, size = #ids}

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

  function self.work()
    return 0
  end

  self.mask = once(function()
    return masks.combined('AND', shard.listed, masks.of_ordinals(self.list()))
  end)
  return self
end

-- A bitmap that is made already.
local function of_mask(name, mask)
  return {
    name = name,
    size = math.huge,
    keep = function(some)
      return masks.kept(mask, some)
    end,
    mask = function()
      return mask
    end,
    work = function()
      return 0
    end,
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
