-- Bit slices of columns: the k-th bitmap has the k-th bit of each group's integer, in two's complement. The last one is
-- the sign. One that is all zero need not be there.
--
-- bits:by:<field>:<k>  string  the slices
local query, shard, masks = query, shard, masks

-- A slice; nil if it is all zero.
local function slice(field, k)
  return masks.long(shard.prefix .. 'bits:by:' .. field .. ':' .. k)
end

-- The groups that have the column.
local function having(field)
  return field == 'display_id' and masks.long(shard.numbered) or shard.listed
end

-- The bitmap for the k-th bit, with the sign turned: then a greater integer has the greater bits. Nil: all zero.
local turned = {}
local function ascending(field, k, sign)
  if k < sign then
    return slice(field, k)
  end
  local all, key = having(field), slice(field, k)
  turned[field] = turned[field] or key and masks.pin(masks.combined('XOR', all, key)) or all
  return turned[field]
end

-- The groups whose column is at least a bound. `bits`: of the bound, the lowest first, the sign turned. None: all
-- groups.
--
-- From the lowest slice on: a bit of 1 must be there, and what is below must do; with a bit of 0 either will do. So a
-- slice takes one operation, and equal bits in a row take one together.
local function at_least(field, bits)
  local all, sign = having(field), #bits - 1
  local found, operation, run = all, nil, {}
  local function finish()
    if #run > 0 then
      found, run = masks.combined_all(operation, {found, unpack(run)}), {}
    end
  end
  local function restart(bitmap)
    masks.give_back(found)
    found, run = bitmap, {}
  end
  local function add(next_operation, bitmap)
    if operation ~= next_operation then
      finish()
      operation = next_operation
    end
    run[#run + 1] = bitmap
  end
  for k = 0, sign do
    local bitmap, is_one = ascending(field, k, sign), string.byte(bits, k + 1) == 49
    local is_all, is_none = found == all and #run == 0, found == shard.absent and #run == 0
    if is_one and not bitmap then
      restart(shard.absent)
    elseif not is_one and bitmap == all or not is_one and bitmap and is_none then
      restart(bitmap)
    elseif is_one and bitmap ~= all and not is_none then
      add('AND', bitmap)
    elseif not is_one and bitmap and not is_all then
      add('OR', bitmap)
    end
  end
  finish()
  return found
end

-- The groups whose column is an integer.
local function equal(field, bits)
  local all, sign = having(field), #bits - 1
  local ones, zeros = {all}, {}
  for k = 0, sign do
    local bitmap, some = ascending(field, k, sign), string.byte(bits, k + 1) == 49 and ones or zeros
    if some == ones and not bitmap or some == zeros and bitmap == all then
      return shard.absent
    elseif bitmap and bitmap ~= all then
      some[#some + 1] = bitmap
    end
  end
  local found = masks.combined_all('AND', ones)
  if #zeros == 0 then
    return found
  end
  local any = masks.combined_all('OR', zeros)
  local both = masks.combined('AND', found, any)
  local rest = masks.combined('XOR', found, both)
  masks.give_back(any)
  masks.give_back(both)
  masks.give_back(found)
  return rest
end

-- The XOR of some pieces of a set of integers: each an integer, or all from one on, as their bits behind '=' or '>'.
local function within(field, pieces, first, last)
  local mask = shard.absent
  for i = first, last do
    local sign, bits = string.sub(pieces[i], 1, 1), string.sub(pieces[i], 2)
    local piece = sign == '=' and equal(field, bits) or at_least(field, bits)
    -- Redis combines bitmaps of different lengths byte by byte, so none that is empty.
    if mask == shard.absent then
      mask = piece
    elseif piece ~= shard.absent then
      local both = masks.combined('XOR', mask, piece)
      masks.give_back(mask)
      masks.give_back(piece)
      mask = both
    end
  end
  return mask
end

-- How many slices a column has that are not all zero.
local numbers = {}
local function number(field)
  if not numbers[field] then
    numbers[field] = 0
    for k = 0, query.slices[field] - 1 do
      numbers[field] = numbers[field] + (slice(field, k) and 1 or 0)
    end
  end
  return numbers[field]
end

return {slice = slice, number = number, within = within}
