-- Put between sides.lua and select.lua: sides that gather.lua has made masks of, in several calls. What changed meanwhile
-- is looked up again, so that all of an answer is of one instant.
--
-- ARGV[11..]: <ordinals> <changes> [<side> <bits>]...
--
-- ordinals  how many there were when that began
-- changes   the number of the last change then, see bits.lua
-- bits      of the groups in any piece of the side

local CHANGED = PREFIX .. 'changed'
local ORDINALS, CHANGES = tonumber(ARGV[11]), tonumber(ARGV[12])

-- Side -> its bits.
local gathered = {}
for i = 13, #ARGV, 2 do
  gathered[tonumber(ARGV[i])] = ARGV[i + 1]
end

-- The groups that came or changed since; how many ordinals and which change that takes in; whether that is all. Nil if
-- it is not known any more.
local function changed_since()
  local ordinals, ids, seen = redis.call('ZCARD', ORDINAL), {}, {}
  local oldest = redis.call('ZRANGE', CHANGED, 0, 0, 'WITHSCORES')[2]
  local newest = redis.call('ZRANGE', CHANGED, -1, -1, 'WITHSCORES')[2]
  if ordinals < ORDINALS or tonumber(newest or 0) < CHANGES or tonumber(oldest or 1) > CHANGES + 1 then
    return nil
  end
  local function take(ordinal)
    if not seen[ordinal] then
      seen[ordinal] = true
      ids[#ids + 1] = redis.call('ZRANGE', ORDINAL, ordinal, ordinal)[1]
    end
  end
  local ordinals_taken, changes_taken = math.min(ordinals, ORDINALS + q.again_groups), CHANGES
  for ordinal = ORDINALS, ordinals_taken - 1 do
    take(ordinal)
  end
  local changes = redis.call('ZRANGE', CHANGED, '(' .. CHANGES, '+inf', 'BYSCORE', 'LIMIT', 0, q.again_groups, 'WITHSCORES')
  for i = 1, #changes, 2 do
    if #ids >= q.again_groups then
      break
    end
    changes_taken = tonumber(changes[i + 1])
    for _, ordinal in ipairs(cmsgpack.unpack(string.match(changes[i], ':(.*)'))) do
      take(ordinal)
    end
  end
  return ids, ordinals_taken, changes_taken, ordinals_taken == ordinals and changes_taken == tonumber(newest or 0)
end

-- Brings the masks of the gathered sides up to date. Answers {side -> mask}, and, if that would take too long, what ARGV
-- is to be next time: {ordinals, changes, side, bits, ...}. Nil if it is not known what changed.
local function masks_gathered()
  local masks_of = {}
  if not next(gathered) then
    return masks_of
  end
  local ids, ordinals, changes, is_all = changed_since()
  if not ids then
    return nil
  end
  local reached = not is_all and {ordinals, changes}
  for number, bits in pairs(gathered) do
    local mask = new_mask()
    redis.call('SET', mask, bits)
    local one = side(number)
    put(mask, ids, '0')
    put(mask, one.among_pieces(ids))
    tell('gathered', one.name, mask)
    masks_of[number] = mask
    if reached then
      append(reached, {number, redis.call('GET', mask)})
    end
  end
  return masks_of, reached
end
