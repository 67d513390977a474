-- The groups whose line of `text` has a needle: found by the caller in its mirror of the text, and repaired here.
--
-- text  hash  number of a chunk -> 128 lines, each followed by 0xFF, by ordinals; one that is not there is all empty
local shard, changes = shard, changes

local TEXT = shard.prefix .. 'text'
local LINES, END = 128, '\255'
-- Changed groups that are looked up here, in 5 ms. With more, the caller has to refresh its mirror.
local GROUPS_MAX = 200

-- Adds to `flips`, the arguments of BITFIELD, those for some lines of a chunk: their ordinals, ascending.
local function look_up(chunk, needle, ordinals, flips)
  local is_possible = chunk and string.find(chunk, needle, 1, true)
  local start, line = 1, ordinals[1] - ordinals[1] % LINES
  for _, ordinal in ipairs(ordinals) do
    local is_found = false
    if is_possible then
      while line < ordinal do
        start, line = string.find(chunk, END, start, true) + 1, line + 1
      end
      is_found = string.find(string.sub(chunk, start, string.find(chunk, END, start, true)), needle, 1, true)
    end
    local n = #flips
    flips[n + 1], flips[n + 2], flips[n + 3] = 'SET', 'u1', string.format('%d', ordinal)
    flips[n + 4] = is_found and '1' or '0'
  end
end

-- Writes the bitmap of the groups with the needle into `key`. `bits` are those of the mirror, which has all that the
-- commit `number` with `digest`, and those before it, wrote. Returns false, and writes nothing, if that commit is not
-- known, or too much changed since.
local function mask(key, needle, bits, number, digest)
  local ordinals, reached = changes.since(number, digest, GROUPS_MAX)
  if not ordinals or #ordinals > GROUPS_MAX or reached ~= changes.newest() then
    return false
  end
  table.sort(ordinals)
  local numbers, of_chunk = {}, {}
  for _, ordinal in ipairs(ordinals) do
    local number_of_chunk = math.floor(ordinal / LINES)
    if numbers[#numbers] ~= number_of_chunk then
      numbers[#numbers + 1], of_chunk[#of_chunk + 1] = number_of_chunk, {}
    end
    table.insert(of_chunk[#of_chunk], ordinal)
  end
  redis.call('SET', key, bits)
  if #numbers > 0 then
    local flips = {}
    for i, chunk in ipairs(redis.call('HMGET', TEXT, unpack(numbers))) do
      look_up(chunk, needle, of_chunk[i], flips)
    end
    redis.call('BITFIELD', key, unpack(flips))
  end
  return true
end

return {mask = mask}
