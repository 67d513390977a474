#!lua flags=allow-oom
-- What is written of the generations, each step of it at once and only where it still holds.
--
--   EVAL catalogue 4 <og:live> <{og:live}:generations> <{og:live}:numbers> <{og:live}:replay>
--     <step> <token> <arguments>
--
--   og:live                string  write  JSON: the generation that readers use
--   {og:live}:generations  hash    write  number -> JSON of Listed
--   {og:live}:numbers      string  write  the number that the next one gets
--   {og:live}:replay       string  read   JSON of the lease's holder
--
-- token: that of the lease, without which nothing is done; empty for steps that need none
-- step, arguments:
--   claim   number, entry, pointer  a new generation; with a pointer it is live at once, if nothing is
--   adopt   number, pointer         what is listed is live, if nothing is
--   put     number, entry           of one that is listed
--   point   before, pointer         what is live, if it was `before`
--   remove  number
-- Answers 1, or 0 where that does not hold any more: nothing is written then.

local live, generations, numbers, replay = unpack(KEYS)
local step, token = ARGV[1], ARGV[2]

if token ~= '' then
  local held = redis.call('GET', replay)
  if not held or cjson.decode(held).token ~= token then
    return 0
  end
end

if step == 'claim' then
  local number, entry, pointer = ARGV[3], ARGV[4], ARGV[5]
  if tonumber(redis.call('GET', numbers) or 0) > tonumber(number) then
    return 0
  end
  if pointer ~= '' and redis.call('EXISTS', live) == 1 then
    return 0
  end
  redis.call('SET', numbers, tonumber(number) + 1)
  redis.call('HSET', generations, number, entry)
  if pointer ~= '' then
    redis.call('SET', live, pointer)
  end
elseif step == 'adopt' then
  if redis.call('EXISTS', live) == 1 or redis.call('HEXISTS', generations, ARGV[3]) == 0 then
    return 0
  end
  redis.call('SET', live, ARGV[4])
elseif step == 'put' then
  if redis.call('HEXISTS', generations, ARGV[3]) == 0 then
    return 0
  end
  redis.call('HSET', generations, ARGV[3], ARGV[4])
elseif step == 'point' then
  if (redis.call('GET', live) or '') ~= ARGV[3] then
    return 0
  end
  redis.call('SET', live, ARGV[4])
elseif step == 'remove' then
  redis.call('HDEL', generations, ARGV[3])
end
return 1
