-- A side is one filter. It is asked in two ways:
--   member by member  `size()` is at least the number of its members, `list()` answers them, `probe(ids)` those of `ids`
--                     among them, in the order given: in `tries` sets. `ordered`: list() is in the ascending order of
--                     by:sort. `is_counted`: size() is their number
--   as a mask         made of `pieces`, one for each of its values, or for each interval. `work(i)` says about how many
--                     members have to be looked up one by one for the i-th, or what takes as long, and
--                     `put(mask, first, last, take)` sets the bits, all of which are 0, of those of their groups that
--                     bitmaps have, and calls `take(mask, ids)` with the others. `ready()` answers a bitmap of the
--                     read model that is the mask already, if there is one. Where pieces are what is left out,
--                     `complete(mask)` makes of them the mask of the side

-- Of a piece, beside that for its members.
local WORK_OF_PIECE = 5
-- With more pieces, to ask for the work of each would take too long.
local PIECES_AT_ONCE = 100

local function nothing() end

local function side_of_ids()
  local function probe(ids)
    local wanted = {}
    for _, id in ipairs(q.ids) do
      wanted[id] = true
    end
    return among(ids, wanted)
  end
  return {
    name = 'id',
    size = function() return #q.ids end,
    list = function() return probed(q.ids, 'ZMSCORE', BY_ID, exists) end,
    tries = 1,
    probe = probe,
    ready = nothing,
    pieces = 1,
    work = function() return #q.ids end,
    put = function(mask, _, _, take) take(mask, q.ids) end,
  }
end

local function side_of_values(numbers)
  local keys = {}
  for i, number in ipairs(numbers) do
    keys[i] = KEYS[number]
  end
  local function bitmap(i)
    return PREFIX .. 'bits:' .. string.sub(keys[i], #PREFIX + 1)
  end
  local function probe(ids)
    local found, left = {}, ids
    for _, key in ipairs(keys) do
      if redis.call('ZCARD', key) < #left then
        -- Sooner listed than looked up in.
        for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
          found[id] = true
        end
      else
        for _, id in ipairs(probed(left, 'ZMSCORE', key, exists)) do
          found[id] = true
        end
        local rest = {}
        for _, id in ipairs(left) do
          if not found[id] then
            rest[#rest + 1] = id
          end
        end
        left = rest
      end
    end
    return among(ids, found)
  end
  return {
    name = function() return table.concat(keys, ' ') end,
    ready = function()
      local bits = bitmap(1)
      if #keys == 1 and is_there(bits) then
        tell('bitmap', bits, bits)
        return bits
      end
    end,
    size = function()
      if #keys > PIECES_AT_ONCE then
        return card
      end
      local size = 0
      for _, key in ipairs(keys) do
        size = size + redis.call('ZCARD', key)
      end
      return size
    end,
    is_counted = #keys == 1,
    ordered = q.by_created,
    list = function()
      if #keys == 1 then
        return redis.call('ZRANGE', keys[1], 0, -1)
      end
      -- A group has the same score in every set; MIN keeps it, and with it the order.
      local command = {'ZUNION', #keys}
      append(command, keys)
      append(command, {'AGGREGATE', 'MIN'})
      return redis.call(unpack(command))
    end,
    tries = #keys,
    probe = probe,
    pieces = #keys,
    work = function(i)
      return WORK_OF_PIECE + (is_there(bitmap(i)) and 0 or redis.call('ZCARD', keys[i]))
    end,
    put = function(mask, first, last, take)
      local broad = {}
      for i = first, last do
        local bits = bitmap(i)
        if is_there(bits) then
          broad[#broad + 1] = bits
          tell('bitmap', bits, bits)
        else
          local ids = redis.call('ZRANGE', keys[i], 0, -1)
          take(mask, ids)
          tell('list', keys[i], #ids)
        end
      end
      for part in chunks(broad, COMBINED_FAST - 1) do
        combine_into(mask, 'OR', mask, unpack(part))
      end
    end,
  }
end

local function side_of_range(range)
  local key = KEYS[range.key]
  local field = string.sub(key, #PREFIX + 4)
  local first, last = range.bounds[1][1], range.bounds[#range.bounds][2]
  local counts, accept = {}, nil
  local function members_of(i)
    counts[i] = counts[i] or redis.call('ZCOUNT', key, range.pieces[i][1], range.pieces[i][2])
    return counts[i]
  end
  return {
    name = key,
    size = function()
      if #range.bounds > PIECES_AT_ONCE then
        return card
      end
      local size = 0
      for _, pair in ipairs(range.bounds) do
        size = size + redis.call('ZCOUNT', key, pair[1], pair[2])
      end
      return size
    end,
    is_counted = #range.bounds <= PIECES_AT_ONCE,
    ordered = range.sorted,
    list = function()
      local ids = {}
      for _, pair in ipairs(range.bounds) do
        append(ids, redis.call('ZRANGE', key, pair[1], pair[2], 'BYSCORE'))
      end
      return ids
    end,
    tries = 1,
    probe = function(ids)
      accept = accept or within(range.bounds)
      return probed(ids, 'ZMSCORE', key, accept)
    end,
    ready = nothing,
    pieces = #range.pieces,
    work = function(i) return WORK_OF_PIECE + math.min(members_of(i), q.interval) end,
    put = function(mask, first_piece, last_piece, take)
      for i = first_piece, last_piece do
        local pair = range.pieces[i]
        if members_of(i) <= q.interval then
          take(mask, redis.call('ZRANGE', key, pair[1], pair[2], 'BYSCORE'))
        else
          turn_between(mask, key, field, pair[1], pair[2])
        end
      end
    end,
    complete = function(mask)
      if range.left_out then
        turn_between(mask, key, field, first, last)
      end
      tell('slices', PREFIX .. 'bits:by:' .. field, mask)
      return mask
    end,
  }
end

local SIDES = #q.ranges + #q.values + (q.by_id and 1 or 0)
local sides = {}

-- Their numbers are those by which select.lua and gather.lua name them.
local function side(number)
  if not sides[number] then
    if number <= #q.ranges then
      sides[number] = side_of_range(q.ranges[number])
    elseif number < SIDES or not q.by_id then
      sides[number] = side_of_values(q.values[number - #q.ranges])
    else
      sides[number] = side_of_ids()
    end
  end
  return sides[number]
end
