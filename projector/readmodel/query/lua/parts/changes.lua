-- Which groups commits have changed.
--
-- changed  sorted set  <number>:<digest>:<members, four bytes each>, scored by the number: the newest commits. The
--          digest tells a commit from another one that got its number after a failover
local shard = shard

local function parsed(entry)
  local number, digest, members = string.match(entry, '^(%d+):(%x*):(.*)$')
  return tonumber(number), digest, members
end

-- Number and digest of the newest commit; 0 and an empty digest before the first one.
local function newest()
  local entry = redis.call('ZRANGE', shard.changed, -1, -1)[1]
  if not entry then
    return 0, ''
  end
  local number, digest = parsed(entry)
  return number, digest
end

-- The ordinals that commits after the given one changed, each once, and the commit up to which they are all: of whole
-- commits, until they are more than `most`. Nil if these commits are not kept, or the given one is not of this history;
-- that is not compared without a digest.
local function since(number, digest, most)
  local entries = redis.call('ZRANGE', shard.changed, number, '+inf', 'BYSCORE', 'LIMIT', 0, most + 2)
  local known, next_one = 0, 1
  if number > 0 then
    if not entries[1] then
      return nil
    end
    local its_digest
    known, its_digest = parsed(entries[1])
    if known ~= number or digest and its_digest ~= digest then
      return nil
    end
    next_one = 2
  end
  local ordinals, seen = {}, {}
  for i = next_one, #entries do
    local n, its_digest, members = parsed(entries[i])
    if n ~= known + 1 then
      return nil
    end
    if #ordinals > most then
      break
    end
    known, digest = n, its_digest
    for at = 1, #members, 4 do
      local ordinal = struct.unpack('>I4', members, at)
      if not seen[ordinal] then
        seen[ordinal] = true
        ordinals[#ordinals + 1] = ordinal
      end
    end
  end
  return ordinals, known, digest
end

return {newest = newest, since = since}
