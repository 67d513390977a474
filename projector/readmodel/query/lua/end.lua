-- The end of the log as a projector reported it last, how long ago that was, and how many partitions are no longer
-- applied because the log holds other events than were applied.
--
--   EVALSHA <sha> 4 <end> <end_at> <diverged> <absent>
--
-- end       hash    <topic>/<partition> -> offset
-- end_at    string  when that was reported, in milliseconds by the clock of Redis
-- diverged  hash    <topic>/<partition> -> why it is not applied any more
--
-- Answers {end, milliseconds, partitions that diverged}, nil for the milliseconds where no projector has reported.
-- Reads only.

local at = redis.call('GET', KEYS[2])
local now = redis.call('TIME')
local age = at and string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - at)
return {redis.call('HGETALL', KEYS[1]), age, redis.call('HLEN', KEYS[3])}
