-- What must hold before a commit is written. Reads only.

-- What the writes need, with arguments of the kind that they have there.
local COMMANDS = {
  {'RPUSH', 'note', ''}, {'LRANGE', 'note', 0, -1}, {'DEL', 'note'}, {'EXISTS', 'bits:all'},
  {'RENAME', 'bits:tmp', 'bits:all'}, {'GET', 'ordinals'}, {'SET', 'ordinals', 0},
  {'HGET', 'text', ''}, {'HSET', 'row', '', ''}, {'HDEL', 'row', ''},
  {'ZADD', 'by:created_at', 0, ''}, {'ZREM', 'by:created_at', ''}, {'ZRANGE', 'changed', 0, 0},
  {'ZREMRANGEBYRANK', 'changed', 0, 0}, {'ZCARD', 'by:created_at'}, {'BITFIELD', 'bits:all', 'SET', 'u1', 0, 0},
}

-- Returns an error that names the first command that the user may not run, or that this server does not have.
local function forbidden(prefix)
  for _, command in ipairs(COMMANDS) do
    local key = prefix .. command[2]
    local arguments = {unpack(command, 3)}
    if command[1] == 'RENAME' then
      arguments[1] = prefix .. arguments[1]
    end
    local known, allowed = pcall(redis.acl_check_cmd, command[1], key, unpack(arguments))
    if not known or not allowed then
      return redis.error_reply('NOPERM a commit needs the command ' .. command[1] .. ' on ' .. key)
    end
  end
end

-- Positions: {name, from, to, ...}; from is false where nothing has been applied yet.
-- A Redis that lost its last writes answers BEHIND, one that another process has written AHEAD.
local function positions(prefix, request, is_open)
  local at_start, at_end, behind = true, #request.positions > 0, not is_open
  for i = 1, #request.positions, 3 do
    local name, from, to = unpack(request.positions, i, i + 2)
    local stored = tonumber(redis.call('HGET', prefix .. 'position', name) or -1)
    from = from or -1
    at_start = at_start and stored == from
    at_end = at_end and stored == to
    behind = behind or stored < from
  end
  return behind and {'BEHIND'} or at_end and {'ALREADY'} or not at_start and {'AHEAD'} or nil
end

-- What a redrive or a discard takes from the parked records must still be there, each of it: else another one has been
-- there before, or this one itself.
local function unparked(prefix, request)
  local gone = 0
  for _, name in ipairs(request.unparked) do
    gone = gone + 1 - redis.call('HEXISTS', prefix .. 'parked', name)
  end
  return gone > 0 and {gone == #request.unparked and 'ALREADY' or 'CHANGED'} or nil
end

-- Another partition's writer may have met us in a group, or been given one of our ordinals after a failover.
local function groups(prefix, request)
  local ids, members, revisions = {}, {}, {}
  for i = request.groups.first, request.groups.last, 3 do
    ids[#ids + 1], members[#members + 1], revisions[#revisions + 1] = unpack(request.arguments, i, i + 2)
  end
  local changed, is_taken = {'CHANGED'}, false
  local ordinals, records = lists.values(prefix .. 'ordinal', ids), lists.values(prefix .. 'record', members)
  for i, id in ipairs(ids) do
    local revision = records[i] and string.sub(records[i], 1, 8) or ''
    if (ordinals[i] or '') ~= (revisions[i] == '' and '' or members[i]) then
      changed[#changed + 1] = id
    elseif revision ~= revisions[i] then
      changed[#changed + 1] = id
      is_taken = is_taken or revisions[i] == ''
    end
  end
  return is_taken and {'TAKEN'} or #changed > 1 and changed or nil
end

-- Returns the answer of a commit that must not be written, or nothing.
local function refusal(prefix, request, is_open)
  return positions(prefix, request, is_open) or unparked(prefix, request) or groups(prefix, request)
    or forbidden(prefix)
end

return {forbidden = forbidden, refusal = refusal}
