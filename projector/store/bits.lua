-- Put between buckets.lua and commit.lua, which says what `prefix` is: keeps the bitmaps as the sorted sets are.

-- The ordinal of each group that this commit lists, unlists, or moves.
local ordinals = {}

-- Ordinals that this commit gives are consecutive, and their bits all 0 before: those are put together here, key ->
-- byte -> value, and written a string for each key. Redis takes about as long for a string as for one bit.
local first_fresh, fresh_bytes = nil, {}

local function set_bit(key, ordinal, bit)
  if ordinal < first_fresh then
    redis.call('SETBIT', key, ordinal, bit)
  elseif bit == 1 then
    local bytes, place = fresh_bytes[key], ordinal % 8
    if not bytes then
      bytes = {}
      fresh_bytes[key] = bytes
    end
    local at = (ordinal - place) / 8
    local value, weight = bytes[at] or 0, 2 ^ (7 - place)
    -- Once is enough, though an id may come twice.
    if value % (2 * weight) < weight then
      bytes[at] = value + weight
    end
  end
end

-- The first byte may have bits of former ordinals.
local function write_fresh(ordinals_end)
  local first, last = math.floor(first_fresh / 8), math.floor((ordinals_end - 1) / 8)
  for key, bytes in pairs(fresh_bytes) do
    local before = first_fresh % 8 > 0 and string.byte(redis.call('GETRANGE', key, first, first)) or 0
    local written = {string.char(before + (bytes[first] or 0))}
    for at = first + 1, last do
      written[#written + 1] = string.char(bytes[at] or 0)
    end
    redis.call('SETRANGE', key, first, table.concat(written))
  end
end

-- `add`, `remove`, `unlisted` as in the head of commit.lua; `texts`: id -> line. Gives ordinals to those that never had
-- one, and answers the one that comes next.
local function find_ordinals(prefix, add, remove, texts, unlisted)
  local key, ids, known = prefix .. 'ordinal', {}, {}
  local function note(id)
    if not known[id] then
      known[id] = true
      ids[#ids + 1] = id
    end
  end
  for _, members in pairs(add) do
    for i = 2, #members, 2 do
      note(members[i])
    end
  end
  for _, members in pairs(remove) do
    for _, id in ipairs(members) do
      note(id)
    end
  end
  for id in pairs(texts) do
    note(id)
  end
  for _, id in ipairs(unlisted) do
    note(id)
  end
  local next_ordinal, fresh = redis.call('ZCARD', key), {}
  first_fresh = next_ordinal
  each_chunk(ids, 1, #ids, function(...)
    local some = {...}
    for i, ordinal in ipairs(redis.call('ZMSCORE', key, ...)) do
      if not ordinal then
        ordinal = next_ordinal
        next_ordinal = next_ordinal + 1
        fresh[#fresh + 1] = ordinal
        fresh[#fresh + 1] = some[i]
      end
      ordinals[some[i]] = tonumber(ordinal)
    end
  end)
  each_chunk(fresh, 1, #fresh, function(...) redis.call('ZADD', key, ...) end)
  return next_ordinal
end

-- Where buckets differ, bit by bit; false is no bucket, all of whose bits are 0.
local function move(key, slices, ordinal, old, new)
  old, new = old or 0, new or 0
  for k = 0, slices - 1 do
    local before, after = old % 2, new % 2
    if before ~= after then
      set_bit(key .. k, ordinal, after)
    end
    old, new = (old - before) / 2, (new - after) / 2
    if old == 0 and new == 0 then
      return
    end
  end
end

-- Before the members of by:<field> are written: their scores as they were are still there.
local function keep_slices(prefix, field, ids, score_of)
  local slices, bucket = SLICES[field], BUCKET[field]
  local key = prefix .. 'bits:by:' .. field .. ':'
  each_chunk(ids, 1, #ids, function(...)
    local some = {...}
    for i, before in ipairs(redis.call('ZMSCORE', prefix .. 'by:' .. field, ...)) do
      local after = score_of[some[i]]
      move(key, slices, ordinals[some[i]], before and bucket(tonumber(before)), after and bucket(after))
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
    each_chunk(members, 1, #members, function(...)
      for _, ordinal in ipairs(redis.call('ZMSCORE', prefix .. 'ordinal', ...)) do
        redis.call('SETBIT', key, ordinal, 1)
      end
    end)
  end
end

local function keep_bits_before(prefix, add, remove)
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
      keep_slices(prefix, field, ids, score_of)
    end
  end
  for index, ids in pairs(remove) do
    local field = string.match(index, '^by:(.*)')
    if field == 'id' then
      for _, id in ipairs(ids) do
        set_bit(prefix .. 'bits:all', ordinals[id], 0)
      end
    elseif field then
      keep_slices(prefix, field, ids, {})
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
  write_fresh(ordinals_end)
end
