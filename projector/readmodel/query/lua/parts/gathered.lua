-- The groups in all sides of which the calls of gather.lua have told. What changed meanwhile is looked up again, so that
-- all of an answer is of one instant.
--
-- ARGV[11..]: <ordinals> <last> <change> <sides> <bits>
--
-- ordinals, last, change  when that began: see changes.lua
-- sides                   their numbers, a msgpack array
-- bits                    by ordinals, of the groups in all of them

local gathered = ARGUMENTS > 10 and cmsgpack.unpack(ARGV[14]) or {}

-- How many groups there is time for, where each is looked up in every set of those sides.
local function most_again()
  local tries = 0
  for _, number in ipairs(gathered) do
    tries = tries + side(number).tries
  end
  return math.max(1, math.min(q.again_groups, math.floor(q.probed / tries)))
end

local function names_gathered()
  local names = {}
  for i, number in ipairs(gathered) do
    names[i] = name_of(side(number).name)
  end
  return table.concat(names, ' ')
end

-- Their mask, brought up to date, and, if that would take too long, what ARGV is to be next time: {ordinals, last, change,
-- sides, bits}. Nil if there is none, or it is not known what changed.
local function mask_gathered()
  if #gathered == 0 then
    return nil
  end
  local ids, reached, is_all = changed_since(ARGV[11], ARGV[12], ARGV[13], most_again())
  if not ids then
    return nil
  end
  local mask = mask_of(ARGV[15])
  if #ids > 0 then
    set_bits(mask, ids, '0')
    for _, number in ipairs(gathered) do
      ids = side(number).probe(ids)
    end
    set_bits(mask, ids)
  end
  tell('gathered', names_gathered, mask)
  if not is_all then
    append(reached, {ARGV[14], redis.call('GET', mask)})
  end
  return mask, not is_all and reached or nil
end
