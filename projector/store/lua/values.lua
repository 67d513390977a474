-- The bitmaps of values, and how many groups they have. Groups of other writers share a value, so whether it has a
-- bitmap by now is decided here.

-- Fields whose values are not counted: FACET_FIELDS of keys.py are the others.
local UNCOUNTED = {customer_id = true}

-- Under another name until it is complete: a redo takes a bitmap that exists for complete.
local function convert(prefix, name)
  local unfinished = prefix .. 'bits:tmp:' .. name
  local arguments = {}
  for _, member in ipairs(redis.call('ZRANGE', prefix .. name, 0, -1)) do
    local n = #arguments
    arguments[n + 1], arguments[n + 2] = 'SET', 'u1'
    arguments[n + 3], arguments[n + 4] = struct.unpack('>I4', member), 1
  end
  redis.call('DEL', unfinished)
  lists.each_portion(arguments, 1, #arguments, function(...) redis.call('BITFIELD', unfinished, ...) end)
  redis.call('RENAME', unfinished, prefix .. 'bits:' .. name)
end

-- The number of groups of each value that has some, in `values:<field>`: which values there are, the largest first.
local function count(prefix, names)
  local counted, gone = {}, {}
  for _, name in ipairs(names) do
    local field, value = string.match(name, '^of:([a-z_]+):(.*)$')
    if not UNCOUNTED[field] then
      local groups = redis.call('ZCARD', prefix .. name)
      local of_field = groups > 0 and counted or gone
      local arguments = of_field[field] or {}
      of_field[field] = arguments
      if groups > 0 then
        arguments[#arguments + 1] = groups
      end
      arguments[#arguments + 1] = value
    end
  end
  for command, of_fields in pairs({ZADD = counted, ZREM = gone}) do
    for field, arguments in pairs(of_fields) do
      local key = prefix .. 'values:' .. field
      lists.each_portion(arguments, 1, #arguments, function(...) redis.call(command, key, ...) end)
    end
  end
end

-- After the sorted sets are written.
local function write(prefix, request)
  local arguments, is_converted, names = request.arguments, false, {}
  for i = request.values.first, request.values.last, 2 do
    local name = arguments[i]
    local key = prefix .. 'bits:' .. name
    names[#names + 1] = name
    if redis.call('EXISTS', key) == 1 then
      bits.write(key, arguments[i + 1])
    elseif not is_converted and redis.call('ZCARD', prefix .. name) >= BROAD_GROUPS_MIN then
      -- One in a commit, which is as much as it has time for; another one waits for its next group.
      is_converted = true
      convert(prefix, name)
    end
  end
  count(prefix, names)
end

return {write = write}
