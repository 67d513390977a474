-- The mask of filters that prepare.lua made in calls before: as of a commit, and brought up to date here.
local masks, rows, changes = masks, rows, changes

-- Returns {has: the set of the filters, mask}; or what the caller needs, and a code, see combine.lua. `numbers`: of the
-- filters, in msgpack. `most`: changed groups that are looked up.
local function of(filters, most, numbers, bits, commit, digest)
  numbers = cmsgpack.unpack(numbers)
  if #numbers == 0 then
    return {has = {}}
  end
  local ordinals, reached, its_digest = changes.since(tonumber(commit), digest, most)
  if not ordinals then
    return numbers, 'PREPARE'
  end
  local passing = rows.listed(ordinals)
  for _, number in ipairs(numbers) do
    passing = filters[number].look_up(passing)
  end
  if reached ~= changes.newest() then
    return {reached, its_digest, ordinals, passing}, 'BEHIND'
  end
  local mask, has = masks.of_bytes(bits), {}
  masks.set(mask, ordinals, '0')
  masks.set(mask, passing, '1')
  for _, number in ipairs(numbers) do
    has[number] = true
  end
  return {has = has, mask = mask}
end

return {of = of}
