-- Where the log ends, as the projector told it last, and how long ago that was.
--
--   EVALSHA <sha> 3 <end> <end_at> <absent>
--
-- end     hash    <topic>/<partition> -> offset
-- end_at  string  when that was told, in milliseconds by the clock of Redis
--
-- Answers {end, milliseconds}, nil for the latter where nobody has told.
-- Reads only.

local at = redis.call('GET', KEYS[2])
local now = redis.call('TIME')
local age = at and string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - at)
return {redis.call('HGETALL', KEYS[1]), age}
