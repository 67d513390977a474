-- Parts of masks: the groups in them, and which slices need not be looked at.

-- A view of a mask: {mask, base, size}. A whole one has only the mask; else its key has `size` bytes of it, from the byte
-- `base` on, and all bits of it are in there.

local function bytes_of(bitmap, first, size)
  return redis.call('GETRANGE', bitmap, string.format('%d', first), string.format('%d', first + size - 1))
end

-- Groups that came one after the other have their bits in a small part of the mask, such as those of some days: what is
-- combined from then on is that much shorter. The same view, or one of at most an eighth of a mask, or half of a part.
local function closer(view, count)
  local bytes = redis.call('STRLEN', view.mask)
  local least, share = q.part, 8
  if view.size then
    -- Each slice has to pass through Lua, of as many bytes.
    least, share = q.part / 4, 2
  end
  if bytes < math.max(least, 8) then
    return view
  end
  local first = math.floor(redis.call('BITPOS', view.mask, '1') / 8)
  local function has_all(size)
    return redis.call('BITCOUNT', view.mask, string.format('%d', first), string.format('%d', first + size - 1)) == count
  end
  local size = math.floor(bytes / share)
  if not has_all(size) then
    return view
  end
  while size > 1 and has_all(math.floor(size / 2)) do
    size = math.floor(size / 2)
  end
  return {mask = mask_of(bytes_of(view.mask, first, size)), base = (view.base or 0) + first, size = size}
end

local function one_of(view)
  return id_of(8 * (view.base or 0) + redis.call('BITPOS', view.mask, '1'))
end

-- What a view has of a bitmap.
local function seen(bitmap, view)
  return view.size and mask_of(bytes_of(bitmap, view.base, view.size)) or bitmap
end

local function whole(view)
  if not view.size then
    return view.mask
  end
  local mask = empty_mask()
  redis.call('SETRANGE', mask, string.format('%d', view.base), redis.call('GET', view.mask))
  has_key[mask] = true
  return mask
end

-- Groups that came one after the other are listed together where so many bits, or fewer, are one of theirs.
local SPARSE = 5

-- The ids of `count` bits that all are in a part of a mask which begins with the bit `at`; nil if they are not.
local function listed_near(mask, base, at, count)
  local first = math.floor(at / 8)
  local from, to = string.format('%d', first), string.format('%d', first + math.ceil(SPARSE * count / 8))
  if redis.call('BITCOUNT', mask, from, to) < count then
    return nil
  end
  local bytes = redis.call('GETRANGE', mask, from, to)
  local start = 8 * (base + first)
  local near = redis.call('ZRANGE', ORDINAL, start, start + 8 * #bytes - 1)
  local ids = {}
  for i = 1, #bytes do
    local byte, place = string.byte(bytes, i), 8 * i
    while byte > 0 do
      if byte % 2 == 1 then
        ids[#ids + 1] = near[place]
      end
      byte, place = math.floor(byte / 2), place - 1
    end
  end
  return ids
end

-- The ordinals of the first bits of a mask, `most` at most. `base`: the byte of all that it begins with. To look at all of
-- it in Lua takes longer, unless they are many.
local function ordinals_in(mask, base, most)
  local found, at = {}, redis.call('BITPOS', mask, '1')
  while at >= 0 and #found < most do
    found[#found + 1] = 8 * base + at
    at = redis.call('BITPOS', mask, '1', at + 1, '-1', 'BIT')
  end
  return found
end

-- The ids of a mask with `count` bits, which are few, in any order.
local function listed(mask, base, count)
  local at = redis.call('BITPOS', mask, '1')
  local ids = at >= 0 and listed_near(mask, base, at, count)
  if not ids then
    ids = ordinals_in(mask, base, count)
    for i, ordinal in ipairs(ids) do
      ids[i] = id_of(ordinal)
    end
  end
  return ids
end

-- Ordinals of groups that who asks does not know, as many as may be told.
local function unknown_in(view)
  local known, _, changed = empty_mask(), changes()
  if changed then
    known = mask_of(ARGV[ARGUMENTS + 2])
    local clear = {}
    for _, ordinal in ipairs(changed) do
      append(clear, {'SET', 'u1', string.format('%d', ordinal), '0'})
    end
    redis.call('BITFIELD', known, unpack(clear))
  end
  local there = combined('AND', view.mask, seen(known, view))
  local found = ordinals_in(combined('XOR', view.mask, there), view.base or 0, left_to_tell)
  left_to_tell = left_to_tell - #found
  return found
end

local function score_of_one(view)
  return redis.call('ZSCORE', BY_SORT, one_of(view))
end

-- Whether all groups of a view have one score, if they have one bucket. No other bucket is beyond that of `inf`.
local function have_one_score(view, field)
  local score = score_of_one(view)
  local bucket = BUCKET[field](tonumber(score))
  return score == 'inf' or redis.call('ZCOUNT', BY_SORT, score, score)
    == redis.call('ZCOUNT', BY_SORT, score_from(field, bucket), beside(score_from(field, bucket + 1)))
end

-- Where two ids differ first: the slice; -1 if slices cannot tell them apart.
local function slice_between_ids(one, other)
  for i = 1, ID_BYTES do
    local differ = bit.bxor(string.byte(one, i) or 0, string.byte(other, i) or 0)
    if differ > 0 then
      local _, bits = math.frexp(differ)
      return 8 * (ID_BYTES - i) + bits - 1
    end
  end
  return -1
end

-- How many bytes of an id its slices tell.
local function bytes_told(id)
  local first = slice_between_ids(id, id_of(0))
  return first < 0 and ID_BYTES or math.min(ID_BYTES - math.floor(first / 8) + ID_WINDOW - 1, ID_BYTES)
end

-- Between which texts, as ZRANGE takes them, the ids lie that are alike in the slices from the k-th on, `id` being one.
local function ids_alike(id, k)
  local bits = 8 * ID_BYTES - k
  local whole, some = math.floor(bits / 8), bits % 8
  local from = string.sub(id, 1, whole) .. string.rep('\0', whole - #id)
  local to = from
  if some > 0 then
    local byte, span = string.byte(id, whole + 1) or 0, 2 ^ (8 - some)
    from, to = from .. string.char(byte - byte % span), to .. string.char(byte - byte % span + span - 1)
  end
  -- A byte that is not there is like one that is 0; UTF-8 has none that is 255.
  return '[' .. string.gsub(from, '%z+$', ''), '(' .. to .. '\255'
end

-- A function of k for a view whose groups are alike in the slices from the k-th on: the next slice in which groups of the
-- shard differ that are alike so far, be they in the view or not; -1 if there is none. It takes a tenth of what one slice
-- does.
local function slices_that_may_split(view, field)
  if field == 'id' then
    local id, lowest
    return function(k)
      if not id then
        id = one_of(view)
        lowest = 8 * (ID_BYTES - bytes_told(id))
      end
      local from, to = ids_alike(id, k)
      local first = redis.call('ZRANGE', BY_ID, from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
      local last = redis.call('ZRANGE', BY_ID, to, from, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
      local slice = slice_between_ids(first, last)
      return slice < lowest and -1 or slice
    end
  end
  local score
  local function bucket_next_to(...)
    return BUCKET[field](tonumber(redis.call('ZRANGE', BY_SORT, ...)[2]))
  end
  return function(k)
    score = score or score_of_one(view)
    if score == 'inf' then
      return -1
    end
    local bucket = BUCKET[field](tonumber(score))
    local lowest = bucket - bucket % 2 ^ k
    local from, to = score_from(field, lowest), beside(score_from(field, lowest + 2 ^ k))
    local low = bucket_next_to(from, to, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    local high = bucket_next_to(to, from, 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
    return slices_between(low, high) - 1
  end
end
