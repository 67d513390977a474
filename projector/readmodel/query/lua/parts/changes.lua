-- What has come or changed in a shard since some moment, which three arguments tell:
--
--   ordinals  how many there were
--   last      the group that had the last of them, '' if there was none
--   change    the newest member of `changed`, '' if there was none
--
-- The last two tell a Redis that has lost writes, and has got as many others since.

local ORDINAL, CHANGED = PREFIX .. 'ordinal', PREFIX .. 'changed'

local function id_of(ordinal)
  -- A number as an argument takes as long as the look-up.
  local rank = string.format('%d', ordinal)
  return redis.call('ZRANGE', ORDINAL, rank, rank)[1]
end

local function newest_change()
  return redis.call('ZRANGE', CHANGED, -1, -1)[1] or ''
end

local function moment(ordinals, change)
  return {string.format('%d', ordinals), ordinals > 0 and id_of(ordinals - 1) or '', change}
end

local function now()
  return moment(redis.call('ZCARD', ORDINAL), newest_change())
end

-- Groups, and up to which moment they are all; whether that is now, which it is not with more than about `most`; their
-- ordinals. Nil if what has changed is not known any more.
local function changed_since(ordinals, last, change, most)
  ordinals = tonumber(ordinals)
  local all = redis.call('ZCARD', ORDINAL)
  local number = change == '' and '0' or redis.call('ZSCORE', CHANGED, change)
  local oldest = redis.call('ZRANGE', CHANGED, 0, 0, 'WITHSCORES')[2]
  if all < ordinals or ordinals > 0 and id_of(ordinals - 1) ~= last or not number
    or change == '' and oldest and tonumber(oldest) > 1 then
    return nil
  end
  local ids, numbers, seen = {}, {}, {}
  local function take(ordinal)
    if not seen[ordinal] then
      seen[ordinal] = true
      ids[#ids + 1], numbers[#numbers + 1] = id_of(ordinal), ordinal
    end
  end
  local reached = math.min(all, ordinals + most)
  for ordinal = ordinals, reached - 1 do
    take(ordinal)
  end
  for _, member in ipairs(redis.call('ZRANGE', CHANGED, '(' .. number, '+inf', 'BYSCORE', 'LIMIT', 0, most)) do
    if #ids >= most then
      break
    end
    change = member
    for _, ordinal in ipairs(cmsgpack.unpack(string.match(member, ':(.*)'))) do
      take(ordinal)
    end
  end
  return ids, moment(reached, change), reached == all and change == newest_change(), numbers
end
