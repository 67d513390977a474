-- Groups by bitmaps (see buckets.lua). A mask is the name of a bitmap; one without a key has no bits. Those made here
-- are keys of their own, gone when the script ends: Redis has no other way to combine bitmaps.

local ALL = PREFIX .. 'bits:all'

-- Nothing of what is written here outlives the script, so neither replicas nor the append-only file need hear of it.
redis.set_repl(redis.REPL_NONE)

-- How many there are: they are numbered.
local masks = 0

-- Bitmaps of which it is known whether they have a key. One that is said to have none has none; one that is said to have
-- one may lack it, where nothing but empty bitmaps were combined.
local has_key = {}

local function is_there(mask)
  if has_key[mask] == nil then
    has_key[mask] = redis.call('EXISTS', mask) == 1
  end
  return has_key[mask]
end

-- Of a mask that is to be written as a whole: a script that ended with an error may have left one of that name.
local function new_name()
  masks = masks + 1
  return PREFIX .. 'bits:tmp:' .. masks
end

local function emptied(mask)
  redis.call('UNLINK', mask)
  has_key[mask] = false
  return mask
end

local function empty_mask()
  return emptied(new_name())
end

local function mask_of(bits)
  local mask = new_name()
  redis.call('SET', mask, bits)
  has_key[mask] = true
  return mask
end

-- All but the first `kept`.
local function drop_masks(kept)
  local names = {}
  for n = kept + 1, masks do
    local name = PREFIX .. 'bits:tmp:' .. n
    names[#names + 1], has_key[name] = name, false
  end
  if #names > 0 then
    redis.call('UNLINK', unpack(names))
  end
  masks = kept
end

-- Bitmaps that Redis combines at once in words; more it takes byte by byte.
local COMBINED_FAST = 16

-- Into `result`, which may be one of them. One without a key is left out, for Redis takes long for it.
local function combine_into(result, operation, ...)
  local there, missing = {}, false
  for _, mask in ipairs({...}) do
    if is_there(mask) then
      there[#there + 1] = mask
    else
      missing = true
    end
  end
  if #there == 0 or missing and operation == 'AND' then
    return emptied(result)
  end
  if #there > 1 or there[1] ~= result then
    redis.call('BITOP', operation, result, unpack(there))
    has_key[result] = true
  end
  return result
end

local function combined(operation, ...)
  return combine_into(new_name(), operation, ...)
end

local function size_of(mask)
  return redis.call('BITCOUNT', mask)
end

-- Does to the bits of `ids`, in a mask of ours, what BITFIELD calls `change`. Who was never listed has none.
local function change_bits(mask, ids, change, by)
  for part in chunks(ids, CHUNK / 4) do
    local arguments, n = {}, 0
    for _, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(part))) do
      if ordinal then
        arguments[n + 1], arguments[n + 2], arguments[n + 3], arguments[n + 4] = change, 'u1', ordinal, by
        n = n + 4
      end
    end
    -- Takes half as long as SETBIT for each.
    redis.call('BITFIELD', mask, unpack(arguments))
    has_key[mask] = has_key[mask] or n > 0
  end
end

-- Sets the bits of `ids` to `value`, or to '1'.
local function set_bits(mask, ids, value)
  change_bits(mask, ids, 'SET', value or '1')
end

-- Makes 0 of 1, and 1 of 0: BITFIELD lets a number of one bit wrap.
local function turn_bits(mask, ids)
  change_bits(mask, ids, 'INCRBY', '1')
end
