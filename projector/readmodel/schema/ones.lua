-- Put in front of scripts that look up bits of many groups.

-- Bytes of a bitmap that are read at once, if all ordinals asked for are in them: those of groups that came one after the
-- other. To look each of them up takes several times as long.
local NEAR_BYTES = 128

-- A function of a bitmap's key: which of `ordinals` have their bits there, by their places in the list. There is one at
-- least.
local function reader_of_bits(ordinals)
  local first = math.floor(math.min(unpack(ordinals)) / 8)
  local last = math.floor(math.max(unpack(ordinals)) / 8)
  -- What is read of a bitmap, and for each ordinal which item of it has its bit, and at which place.
  local read, at, place = nil, {}, {}
  if last - first >= NEAR_BYTES then
    local get, n = {}, 0
    for i, ordinal in ipairs(ordinals) do
      get[n + 1], get[n + 2], get[n + 3] = 'GET', 'u1', string.format('%.0f', ordinal)
      n, at[i], place[i] = n + 3, i, 1
    end
    read = function(key) return redis.call('BITFIELD_RO', key, unpack(get)) end
  else
    for i, ordinal in ipairs(ordinals) do
      local bit = ordinal % 8
      at[i], place[i] = (ordinal - bit) / 8 - first + 1, 2 ^ (7 - bit)
    end
    first, last = string.format('%.0f', first), string.format('%.0f', last)
    read = function(key) return {string.byte(redis.call('GETRANGE', key, first, last), 1, -1)} end
  end
  return function(key)
    local items, ones, n = read(key), {}, 0
    for i = 1, #items > 0 and #ordinals or 0 do
      if (items[at[i]] or 0) / place[i] % 2 >= 1 then
        n = n + 1
        ones[n] = i
      end
    end
    return ones
  end
end
