-- Bitmaps over ordinals. Those made here are temporary: `drop` deletes them before the script ends.
local shard = shard

local TEMPORARY = shard.prefix .. 'bits:tmp:'
-- Redis combines so many bitmaps word by word, and more of them byte by byte.
local AT_ONCE = 16

local made, free = 0, {}

local function new()
  local name = table.remove(free)
  if not name then
    made = made + 1
    name = TEMPORARY .. made
  end
  return name
end

-- Keeps a mask until the end: it is used more than once.
local pinned = {}
local function pin(mask)
  pinned[mask] = true
  return mask
end

-- Takes back a mask that is not used any more. Others than temporary ones are left alone.
local function give_back(mask)
  if not pinned[mask] and string.sub(mask, 1, #TEMPORARY) == TEMPORARY then
    free[#free + 1] = mask
  end
end

-- Redis combines bitmaps byte by byte beyond the end of the shortest, many times slower than word by word. So one that
-- is shorter by more than this share of the bitmap of all groups is copied, and made as long.
local SHARE = 1 / 32
local LENGTH = redis.call('STRLEN', shard.listed)

local function is_short(length)
  return length < LENGTH * (1 - SHARE)
end

-- Makes a temporary mask as long as that of all groups.
local function lengthen(mask)
  redis.call('SETBIT', mask, string.format('%d', 8 * LENGTH - 1), 0)
end

-- A bitmap of the read model, or its copy; nil if it is empty.
local longs = {}
local function long(bitmap)
  if longs[bitmap] ~= nil then
    return longs[bitmap] or nil
  end
  longs[bitmap] = false
  local length = redis.call('STRLEN', bitmap)
  if length == 0 then
    return nil
  elseif not is_short(length) then
    longs[bitmap] = bitmap
    return bitmap
  end
  local mask = pin(new())
  redis.call('COPY', bitmap, mask, 'REPLACE')
  lengthen(mask)
  longs[bitmap] = mask
  return mask
end

local function combined(operation, ...)
  local mask = new()
  redis.call('BITOP', operation, mask, ...)
  return mask
end

-- AND, OR or XOR of a list of bitmaps, of which there may be one or many.
local function combined_all(operation, bitmaps)
  local mask = bitmaps[1] or shard.absent
  for first = 2, #bitmaps, AT_ONCE - 1 do
    local more = combined(operation, mask, unpack(bitmaps, first, math.min(first + AT_ONCE - 2, #bitmaps)))
    give_back(mask)
    mask = more
  end
  return mask
end

local function of_bytes(bytes)
  local mask = new()
  redis.call('SET', mask, bytes)
  if is_short(#bytes) then
    lengthen(mask)
  end
  return mask
end

-- Bits that one command sets.
local BITS = 250

local function set(mask, ordinals, bit_value)
  local arguments, format = {}, string.format
  for first = 1, #ordinals, BITS do
    local last, n = math.min(first + BITS - 1, #ordinals), 0
    for i = first, last do
      arguments[n + 1], arguments[n + 2], arguments[n + 3], arguments[n + 4] =
        'SET', 'u1', format('%d', ordinals[i]), bit_value
      n = n + 4
    end
    redis.call('BITFIELD', mask, unpack(arguments, 1, n))
  end
end

local function of_ordinals(ordinals)
  local mask = new()
  redis.call('DEL', mask)
  lengthen(mask)
  set(mask, ordinals, '1')
  return mask
end

-- Those of `ordinals` that are in a bitmap, in the order given.
local function kept(bitmap, ordinals)
  local arguments, found = {}, {}
  for i, ordinal in ipairs(ordinals) do
    local n = 3 * i
    arguments[n - 2], arguments[n - 1], arguments[n] = 'GET', 'u1', string.format('%d', ordinal)
  end
  local place = 0
  for first = 1, #arguments, 900 do
    local bits = redis.call('BITFIELD_RO', bitmap, unpack(arguments, first, math.min(first + 899, #arguments)))
    for _, is_set in ipairs(bits) do
      place = place + 1
      if is_set == 1 then
        found[#found + 1] = ordinals[place]
      end
    end
  end
  return found
end

local function count(bitmap)
  return redis.call('BITCOUNT', bitmap)
end

-- The ordinals of the bits from rank `first` to `last`, both included and counted from 0.
local function at_ranks(bitmap, first, last)
  local byte, past, rank = 0, redis.call('STRLEN', bitmap), 0
  while past - byte > 1 do
    local middle = math.floor((byte + past) / 2)
    local before = redis.call('BITCOUNT', bitmap, byte, middle - 1)
    if rank + before > first then
      past = middle
    else
      byte, rank = middle, rank + before
    end
  end
  local ordinals, ordinal = {}, 8 * byte - 1
  while rank <= last do
    ordinal = redis.call('BITPOS', bitmap, '1', string.format('%d', ordinal + 1), '-1', 'BIT')
    if ordinal < 0 then
      break
    end
    if rank >= first then
      ordinals[#ordinals + 1] = ordinal
    end
    rank = rank + 1
  end
  return ordinals
end

-- The ordinals of all `number` bits. To look for each bit takes a microsecond, to go over the bytes less than that of
-- many bits.
local BITS_LOOKED_FOR = 500
local function ordinals(bitmap, number)
  if number <= BITS_LOOKED_FOR then
    return at_ranks(bitmap, 0, number - 1)
  end
  local found, bits = {}, redis.call('GET', bitmap)
  for at, character in string.gmatch(bits, '()(%Z)') do
    local byte, first = string.byte(character), 8 * (at - 1)
    for place = 0, 7 do
      if byte >= 128 then
        found[#found + 1] = first + place
        byte = byte - 128
      end
      byte = 2 * byte
    end
  end
  return found
end

-- The groups of one value. `name`: of its sorted set.
local function of_value(name)
  local bitmap = long(shard.prefix .. 'bits:' .. name)
  return bitmap or pin(of_ordinals(shard.ranked(shard.prefix .. name, 0, -1)))
end

-- What it takes to combine a bitmap with others, or to count its bits, in members that are set one by one: as one of
-- them, and one more for each so many bytes.
local BYTES_COMBINED, BYTES_COUNTED = 25000, 8000
local function work()
  return 1 + LENGTH / BYTES_COMBINED
end

local function work_of_count()
  return 1 + LENGTH / BYTES_COUNTED
end

local function drop()
  local names = {}
  for n = 1, made do
    names[n] = TEMPORARY .. n
  end
  shard.in_parts(names, function(part)
    redis.call('DEL', unpack(part))
  end)
end

return {
  new = new,
  long = long,
  combined = combined,
  combined_all = combined_all,
  of_bytes = of_bytes,
  of_ordinals = of_ordinals,
  set = set,
  kept = kept,
  count = count,
  at_ranks = at_ranks,
  ordinals = ordinals,
  of_value = of_value,
  work = work,
  work_of_count = work_of_count,
  pin = pin,
  give_back = give_back,
  drop = drop,
}
