-- The mask of filters that prepare.lua made in calls before: as of a commit, and brought up to date here.
local masks, rows, changes = masks, rows, changes

-- Returns four values: the groups that commits changed since `commit`; those of them that now pass all filters that
-- `numbers` names; the commit up to which these groups are all, and its digest. Nil if that is not known.
local function changed(filters, numbers, commit, digest, most)
  local ordinals, reached, its_digest = changes.since(tonumber(commit), digest, most)
  if not ordinals then
    return nil
  end
  local passing = rows.listed(ordinals)
  for _, number in ipairs(numbers) do
    passing = filters[number].look_up(passing)
  end
  return ordinals, passing, reached, its_digest
end

-- Returns {has: the set of the filters, mask}; or the numbers for the caller, and a code, see combine.lua. `numbers`:
-- of the filters, in msgpack.
local function of(filters, most, numbers, bits, commit, digest)
  numbers = cmsgpack.unpack(numbers)
  if #numbers == 0 then
    return {has = {}}
  end
  local ordinals, passing, reached = changed(filters, numbers, commit, digest, most)
  if not ordinals then
    return numbers, 'PREPARE'
  elseif reached ~= changes.newest() then
    return numbers, 'BEHIND'
  end
  local mask, has = masks.of_bytes(bits), {}
  masks.set(mask, ordinals, '0')
  masks.set(mask, passing, '1')
  for _, number in ipairs(numbers) do
    has[number] = true
  end
  return {has = has, mask = mask}
end

return {changed = changed, of = of}
