-- Put between buckets.lua and commit.lua, which says what `prefix` is: keeps the bitmaps as the sorted sets are.

-- The ordinal of each group that this commit lists, unlists, or moves.
local ordinals = {}
-- Ordinal -> as Redis answers it, for those that were there before: Lua would take longer to write the number.
local texts_of_ordinals = {}

-- Ordinals that this commit gives are consecutive, and their bits all 0 before: those are put together here, key ->
-- byte -> value, and written a string for each key. Redis takes about as long for a string as for one bit.
local first_fresh, fresh_bytes = nil, {}

-- What the bits of a byte count, from the first one on.
local WEIGHTS = {128, 64, 32, 16, 8, 4, 2, 1}

-- Once is enough, though an id may come twice.
local function put_fresh(bytes, at, weight)
  local value = bytes[at] or 0
  if value % (2 * weight) < weight then
    bytes[at] = value + weight
  end
end

-- Bits of other ordinals: key -> arguments of BITFIELD, which takes half as long as SETBIT for each.
local flips = {}

local function flip(key, ordinal, bit)
  local arguments = flips[key]
  if not arguments then
    arguments = {}
    flips[key] = arguments
  end
  local n = #arguments
  arguments[n + 1], arguments[n + 2] = 'SET', 'u1'
  arguments[n + 3], arguments[n + 4] = texts_of_ordinals[ordinal], bit == 1 and '1' or '0'
end

local function write_flips()
  for key, arguments in pairs(flips) do
    each_chunk(arguments, 1, #arguments, function(...) redis.call('BITFIELD', key, ...) end)
  end
end

local function set_bit(key, ordinal, bit)
  if ordinal < first_fresh then
    flip(key, ordinal, bit)
  elseif bit == 1 then
    local place = ordinal % 8
    fresh_bytes[key] = fresh_bytes[key] or {}
    put_fresh(fresh_bytes[key], (ordinal - place) / 8, WEIGHTS[place + 1])
  end
end

-- The first byte may have bits of former ordinals.
local function write_fresh(ordinals_end)
  local first, last = math.floor(first_fresh / 8), math.floor((ordinals_end - 1) / 8)
  for key, bytes in pairs(fresh_bytes) do
    if next(bytes) then
      local before = first_fresh % 8 > 0 and string.byte(redis.call('GETRANGE', key, first, first)) or 0
      local written = {string.char(before + (bytes[first] or 0))}
      for at = first + 1, last do
        written[#written + 1] = string.char(bytes[at] or 0)
      end
      redis.call('SETRANGE', key, first, table.concat(written))
    end
  end
end

-- Of groups that have just got their ordinals: {ordinal, id, ...}. Both stay as they are, and so do the bits.
local function keep_slices_of_ids(prefix, fresh)
  local reference = redis.call('ZRANGE', prefix .. 'ordinal', 0, 0)[1]
  local columns = {}
  for i = 1, #fresh, 2 do
    local place = fresh[i] % 8
    local at, weight = (fresh[i] - place) / 8, WEIGHTS[place + 1]
    for _, k in ipairs(slices_of_id(fresh[i + 1], reference)) do
      local bytes = columns[k]
      if not bytes then
        bytes = {}
        columns[k], fresh_bytes[prefix .. 'bits:by:id:' .. k] = bytes, bytes
      end
      bytes[at] = (bytes[at] or 0) + weight
    end
  end
end

-- Of the groups arguments[first], arguments[first + 2], ... to `last`, which are all that this commit lists, unlists, or
-- moves. `listed`: {score, id, ...}, of which those that never had an ordinal get one. Answers the one that comes next.
local function find_ordinals(prefix, arguments, first, last, listed, is_redo)
  local key, ids = prefix .. 'ordinal', {}
  for i = first, last, 2 do
    ids[#ids + 1] = arguments[i]
  end
  each_chunk(ids, 1, #ids, function(...)
    local some = {...}
    for i, ordinal in ipairs(redis.call('ZMSCORE', key, ...)) do
      local number = ordinal and tonumber(ordinal)
      ordinals[some[i]] = number
      if number then
        texts_of_ordinals[number] = ordinal
      end
    end
  end)
  local next_ordinal, fresh = redis.call('ZCARD', key), {}
  first_fresh = next_ordinal
  for i = 2, #listed, 2 do
    local id = listed[i]
    if not ordinals[id] then
      ordinals[id] = next_ordinal
      fresh[#fresh + 1] = next_ordinal
      fresh[#fresh + 1] = id
      next_ordinal = next_ordinal + 1
    end
  end
  each_chunk(fresh, 1, #fresh, function(...) redis.call('ZADD', key, ...) end)
  keep_slices_of_ids(prefix, fresh)
  if is_redo then
    -- The first attempt may have written ordinals, and not come as far as their slices.
    local reference = redis.call('ZRANGE', key, 0, 0)[1]
    for i = 2, #listed, 2 do
      local ordinal = ordinals[listed[i]]
      for _, k in ipairs(ordinal < first_fresh and slices_of_id(listed[i], reference) or {}) do
        flip(prefix .. 'bits:by:id:' .. k, ordinal, 1)
      end
    end
  end
  return next_ordinal
end

-- Of `changed`: groups in a member, and members that are kept, some hundred kilobytes.
local CHANGES_TOLD, CHANGES_KEPT = 16, 4096

-- Who looks groups up in several calls learns so which to look up again: those that this commit touches, but for new
-- ones, whose ordinals tell as much.
local function tell_changes(key)
  local known, members = {}, {}
  for _, ordinal in pairs(ordinals) do
    if ordinal and ordinal < first_fresh then
      known[#known + 1] = ordinal
    end
  end
  if #known == 0 then
    return
  end
  local newest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  local number = tonumber(newest or 0)
  for i = 1, #known, CHANGES_TOLD do
    number = number + 1
    members[#members + 1] = number
    members[#members + 1] = number .. ':' .. cmsgpack.pack({unpack(known, i, math.min(i + CHANGES_TOLD - 1, #known))})
  end
  each_chunk(members, 1, #members, function(...) redis.call('ZADD', key, ...) end)
  redis.call('ZREMRANGEBYRANK', key, 0, -CHANGES_KEPT - 1)
end

-- Where buckets differ, bit by bit. `key`: of the slices, but for their numbers.
local function move(key, slices, ordinal, old, new)
  for k = 0, slices - 1 do
    local before, after = old % 2, new % 2
    if before ~= after then
      flip(key .. k, ordinal, after)
    end
    old, new = (old - before) / 2, (new - after) / 2
    if old == new then
      return
    end
  end
end

-- Before the members of by:<field> are written: their scores as they were are still there. Without a score, as where a
-- group has just got its ordinal, all bits are 0; `score_of` has none for those that are removed. In a redo scores may
-- have been written and bits not: each bit is set.
local function keep_slices(prefix, field, ids, score_of, is_redo)
  local slices, bucket = SLICES[field], BUCKET[field]
  local key = prefix .. 'bits:by:' .. field .. ':'
  local columns, known = {}, {}
  for k = 0, slices - 1 do
    fresh_bytes[key .. k] = fresh_bytes[key .. k] or {}
    columns[k] = fresh_bytes[key .. k]
  end
  for _, id in ipairs(ids) do
    local ordinal = ordinals[id]
    if ordinal < first_fresh then
      known[#known + 1] = id
    elseif score_of[id] then
      local place, left, k = ordinal % 8, bucket(score_of[id]), 0
      local at, weight = (ordinal - place) / 8, WEIGHTS[place + 1]
      while left > 0 do
        local bit = left % 2
        if bit == 1 then
          put_fresh(columns[k], at, weight)
        end
        left, k = (left - bit) / 2, k + 1
      end
    end
  end
  each_chunk(known, 1, #known, function(...)
    local some = {...}
    for i, before in ipairs(redis.call('ZMSCORE', prefix .. 'by:' .. field, ...)) do
      local after = score_of[some[i]]
      local old, new = before and bucket(tonumber(before)) or 0, after and bucket(after) or 0
      move(key, slices, ordinals[some[i]], is_redo and 2 ^ slices - 1 - new or old, new)
    end
  end)
end

-- After the members of of:<field>:<value> are written. Below `broad` members a value has no bitmap; it keeps the one
-- it has.
local converted = false
local function keep_value(prefix, index, ids, bit, broad)
  local key = prefix .. 'bits:' .. index
  if redis.call('EXISTS', key) == 1 then
    for _, id in ipairs(ids) do
      set_bit(key, ordinals[id], bit)
    end
  elseif bit == 1 and not converted and redis.call('ZCARD', prefix .. index) >= broad then
    -- One in a commit, which is as much as it has time for; another one waits for its next member.
    converted = true
    local members = redis.call('ZRANGE', prefix .. index, 0, -1)
    -- Under another name until it is complete: a redo takes a bitmap that exists for complete.
    local unfinished = prefix .. 'bits:tmp:' .. index
    redis.call('DEL', unfinished)
    each_chunk(members, 1, #members, function(...)
      for _, ordinal in ipairs(redis.call('ZMSCORE', prefix .. 'ordinal', ...)) do
        redis.call('SETBIT', unfinished, ordinal, '1')
      end
    end)
    redis.call('RENAME', unfinished, key)
  end
end

local function keep_bits_before(prefix, add, remove, is_redo)
  for index, members in pairs(add) do
    local field = string.match(index, '^by:(.*)')
    if field == 'id' then
      for i = 2, #members, 2 do
        set_bit(prefix .. 'bits:all', ordinals[members[i]], 1)
      end
    elseif field then
      local ids, score_of = {}, {}
      for i = 1, #members, 2 do
        ids[#ids + 1] = members[i + 1]
        score_of[members[i + 1]] = members[i]
      end
      keep_slices(prefix, field, ids, score_of, is_redo)
    end
  end
  for index, ids in pairs(remove) do
    local field = string.match(index, '^by:(.*)')
    if field == 'id' then
      for _, id in ipairs(ids) do
        set_bit(prefix .. 'bits:all', ordinals[id], 0)
      end
    elseif field then
      keep_slices(prefix, field, ids, {}, is_redo)
    end
  end
end

local function keep_bits_after(prefix, add, remove, broad, ordinals_end)
  for index, ids in pairs(remove) do
    if string.sub(index, 1, 3) == 'of:' then
      keep_value(prefix, index, ids, 0, broad)
    end
  end
  for index, members in pairs(add) do
    if string.sub(index, 1, 3) == 'of:' then
      local ids = {}
      for i = 2, #members, 2 do
        ids[#ids + 1] = members[i]
      end
      keep_value(prefix, index, ids, 1, broad)
    end
  end
  write_flips()
  write_fresh(ordinals_end)
end
