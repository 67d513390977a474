#!lua flags=allow-oom
-- Opens a shard for writing, after what a lost generation of the same number has in it is gone.
--
--   EVAL opening <keys> <prefix>meta [<key of the shard>...] <step> <nonce> <argument>
--
-- meta: hash, write: `left` while there may be keys of another generation: without a version every commit is BEHIND
-- step, argument:
--   open    version        it may be written, unless something is left: then whose that is is answered
--   take    nonce          if it is that one's: it is ours, with all that is left in it
--   clear                  deletes the keys, if they are of what is left
--   done                   nothing is left
-- Answers a nonce, or nothing.

local meta, step, nonce = KEYS[1], ARGV[1], ARGV[2]
local known = redis.call('HMGET', meta, 'nonce', 'left')
local owner, left = known[1], known[2]

if step == 'open' then
  if left or owner and owner ~= nonce then
    return owner
  end
  redis.call('HSET', meta, 'version', ARGV[3], 'nonce', nonce)
elseif step == 'take' then
  if owner == ARGV[3] and owner ~= nonce then
    redis.call('DEL', meta)
    redis.call('HSET', meta, 'nonce', nonce, 'left', 1)
  end
elseif left and owner == nonce then
  if step == 'clear' then
    redis.call('UNLINK', unpack(KEYS, 2))
  else
    redis.call('HDEL', meta, 'left')
  end
end
return false
