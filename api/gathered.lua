-- Sides of which gather.lua has made masks, in several calls. What changed meanwhile is looked up again, so that all of
-- an answer is of one instant.
--
-- ARGV[11..]: <ordinals> <last> <change> [<side> <bits>]...
--
-- ordinals, last, change  when that began: see changes.lua
-- bits                    by ordinals, of the groups in any piece of the side

local gathered = {}
for i = 14, ARGUMENTS, 2 do
  gathered[tonumber(ARGV[i])] = ARGV[i + 1]
end

-- How many groups there is time for, where each is looked up in every set of those sides.
local function most_again()
  local tries = 0
  for number in pairs(gathered) do
    tries = tries + side(number).tries
  end
  return math.max(1, math.min(q.again_groups, math.floor(q.probed / tries)))
end

-- Brings the masks of the gathered sides up to date. Answers {side -> mask}, and, if that would take too long, what ARGV
-- is to be next time: {ordinals, last, change, side, bits, ...}. Nil if it is not known what changed.
local function masks_gathered()
  local found = {}
  if not next(gathered) then
    return found
  end
  local ids, reached, is_all = changed_since(ARGV[11], ARGV[12], ARGV[13], most_again())
  if not ids then
    return nil
  end
  for number, bits in pairs(gathered) do
    local one, mask = side(number), new_mask()
    redis.call('SET', mask, bits)
    if #ids > 0 then
      set_bits(mask, ids, '0')
      set_bits(mask, one.among_pieces(ids))
    end
    tell('gathered', one.name, mask)
    found[number] = mask
    if not is_all then
      append(reached, {number, redis.call('GET', mask)})
    end
  end
  return found, not is_all and reached or nil
end
