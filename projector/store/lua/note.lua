-- A complete commit, while it is being written: first `values`, then its arguments as they are. To pack them would take
-- half as long as the commit. It gets its name once it is complete.

-- A note of another format was written by another release.
local FORMAT = 2

-- `values`: what the writes depend on beside the arguments.
local function write(prefix, values, arguments)
  local unfinished = prefix .. 'note:tmp'
  redis.call('DEL', unfinished)
  redis.call('RPUSH', unfinished, cmsgpack.pack({FORMAT, values}))
  lists.each_portion(arguments, 1, #arguments, function(...) redis.call('RPUSH', unfinished, ...) end)
  redis.call('RENAME', unfinished, prefix .. 'note')
  redis.call('HSET', prefix .. 'position', 'unfinished', 1)
end

-- Returns values and arguments of the note, or an error; nothing if there is none.
local function read(prefix)
  local key = prefix .. 'note'
  if redis.call('EXISTS', key) == 0 then
    return nil
  end
  local arguments = redis.call('LRANGE', key, 0, -1)
  local head = cmsgpack.unpack(table.remove(arguments, 1))
  if head[1] ~= FORMAT then
    return nil, redis.error_reply('ERR ' .. key .. ' holds a half-written commit of another release: run that one')
  end
  return {values = head[2], arguments = arguments}
end

local function delete(prefix)
  redis.call('HDEL', prefix .. 'position', 'unfinished')
  redis.call('DEL', prefix .. 'note')
end

return {write = write, read = read, delete = delete}
