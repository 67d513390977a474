-- The last commits that changed groups, for readers who take several calls: which groups to look at again.
--
-- changed  sorted set  <number>:<digest>:<members of the groups, four bytes each>, scored by the number. The digest is
--                      chained, so it tells a commit from another one that has its number after a failover
local KEPT, DIGITS = 4096, 16

-- Returns number and digest of the commit that comes next. `content`: a digest of what it writes.
local function next_entry(key, content)
  local newest = redis.call('ZRANGE', key, -1, -1)[1] or '0::'
  local number, digest = string.match(newest, '^(%d+):(%x*):')
  return string.format('%.0f', number + 1), string.sub(redis.sha1hex(digest .. content), 1, DIGITS)
end

local function write(key, number, digest, members)
  redis.call('ZADD', key, number, number .. ':' .. digest .. ':' .. members)
  redis.call('ZREMRANGEBYRANK', key, 0, -KEPT - 1)
end

return {next_entry = next_entry, write = write}
