-- Writes what one batch changes in one shard, and how far the log has been applied: all of it or nothing.
--
--   EVALSHA commit 2 <prefix>meta <prefix>absent <head> <argument>... <nonce>
--
-- The prefix is og:{<generation>.<shard>}: and every key has it, hence one slot. docs/architecture.md has all keys.
--   absent                    never exists: while the slot migrates, Redis refuses to run a script that declares it.
--                             Without it, a migration could stop the script halfway
--   meta      hash     read   version of the read model, nonce, sealed, log
--   note      list     write  all of this commit, while it is being written: see "Redo" below
--   position  hash     write  <topic>/<partition> -> next offset; redriven -> how often documents changed without one;
--                             unfinished -> 1 while there is a note: readers answer nothing from it
--   ordinal   hash     write  group id -> member: its ordinal, four bytes
--   ordinals  string   write  the first ordinal that was never reserved
--   record    hash     write  member -> 8 bytes of revision, orders
--   changed   zset     write  see changed.lua
--   text      hash     write  see texts.lua
--   bits:of:* string   write  see values.lua
--   tally     hash     write  <topic>/<partition>:<fate> -> number of records
--   stored    channel         JSON: <topic>/<partition> -> next offset, once for each answer STORED
--
-- head: a msgpack array: version, positions {name, from, to, ...}, the number of arguments in each section, tally
-- {name: records}, unparked {name, ...}, redriven, content (a digest of the records written), the end of the last block
-- that ordinals are given from. Behind it the sections, whose bytes the msgpack of Redis' Lua could not hold:
--   groups    id, member, revision: must be as they are; empty revision: new
--   changed   the members of the groups that are written, in one argument; none if there are no groups
--   commands  name, key, n, n arguments: record, row, parked, last, sorted sets
--   bits      bitmap, what bits.lua writes
--   values    set of a value, the same for its bitmap
--   texts     chunk, n, place and line in turn: n arguments
-- nonce: of the generation that the writer means.
-- Answers one of
--   STORED | ALREADY | SEALED | BEHIND | AHEAD | TAKEN | CHANGED, group id, ...
--   FINISHED   a commit that was left half written is finished now. Nothing of this one was looked at: send it again
--   the error NOPERM, where the user lacks a command that the commit needs
--
-- Redo. A script is never rolled back, and a command in it may fail although the one before did not. So the checks and
-- the user's rights come first, then a note of the whole commit with its results as absolute values, then the writes,
-- then positions and tallies, and last the note is deleted. Once the note stands, the commit is decided: the next
-- commit for this shard, of any process, first writes all of it again. Each write may be repeated.
-- Replicas and the append-only file get the note only where a write has failed: else the writes reach them as one
-- transaction.

local meta = KEYS[1]
local prefix = string.sub(meta, 1, -5)

-- What the writes depend on beside the arguments, absolute.
local function values_of(request)
  local tallies = {}
  for name, records in pairs(request.tally) do
    tallies[#tallies + 1] = name
    tallies[#tallies + 1] = string.format('%.0f', (redis.call('HGET', prefix .. 'tally', name) or 0) + records)
  end
  local redriven = request.redriven and (redis.call('HGET', prefix .. 'position', 'redriven') or 0) + 1
  local number, digest = changed.next_entry(prefix .. 'changed', request.content)
  return {tallies, redriven, number, digest}
end

local function give_ordinals(request)
  local arguments, given = request.arguments, {}
  for i = request.groups.first, request.groups.last, 3 do
    if arguments[i + 2] == '' then
      given[#given + 1], given[#given + 2] = arguments[i], arguments[i + 1]
    end
  end
  lists.each_portion(given, 1, #given, function(...) redis.call('HSET', prefix .. 'ordinal', ...) end)
  -- A failover may have lost the reservation.
  if request.ordinals_end > tonumber(redis.call('GET', prefix .. 'ordinals') or 0) then
    redis.call('SET', prefix .. 'ordinals', string.format('%.0f', request.ordinals_end))
  end
end

-- Returns the positions reached, by name.
local function apply(request, values)
  local arguments = request.arguments
  local tallies, redriven, number, digest = unpack(values, 1, 4)
  give_ordinals(request)
  lists.each_portion(request.unparked, 1, #request.unparked, function(...)
    redis.call('HDEL', prefix .. 'parked', ...)
  end)
  requests.each_block(request, 'commands', 2, function(i, first, last)
    redis.call(arguments[i], prefix .. arguments[i + 1], unpack(arguments, first, last))
  end)
  for i = request.bits.first, request.bits.last, 2 do
    bits.write(prefix .. arguments[i], arguments[i + 1])
  end
  value_bitmaps.write(prefix, request)
  requests.each_block(request, 'texts', 1, function(i, first, last)
    texts.splice(prefix .. 'text', arguments[i], {unpack(arguments, first, last)})
  end)
  if request.changed.first == request.changed.last then
    changed.write(prefix .. 'changed', number, digest, arguments[request.changed.first])
  end
  lists.each_portion(tallies, 1, #tallies, function(...) redis.call('HSET', prefix .. 'tally', ...) end)
  local reached = {}
  for i = 1, #request.positions, 3 do
    local name = request.positions[i]
    reached[name] = string.format('%.0f', request.positions[i + 2])
    redis.call('HSET', prefix .. 'position', name, reached[name])
  end
  if redriven then
    redis.call('HSET', prefix .. 'position', 'redriven', redriven)
  end
  return reached
end

-- Returns an error, or nothing. `is_redo`: the note is there already, and others may know it.
local function write(request, values, is_redo)
  if not is_redo then
    redis.set_repl(redis.REPL_NONE)
    note.write(prefix, values, request.arguments)
    redis.set_repl(redis.REPL_ALL)
  end
  local is_written, reached = pcall(apply, request, values)
  if not is_written then
    note.write(prefix, values, request.arguments)
    return type(reached) == 'table' and reached or redis.error_reply('ERR ' .. tostring(reached))
  end
  if not is_redo then
    redis.set_repl(redis.REPL_NONE)
  end
  note.delete(prefix)
  redis.set_repl(redis.REPL_ALL)
  if next(reached) then
    -- For readers who wait for it. A courtesy: where a user may not publish, the commit stands nevertheless.
    redis.pcall('PUBLISH', prefix .. 'stored', cjson.encode(reached))
  end
end

local function is_same(one, other)
  if #one ~= #other then
    return false
  end
  for i, argument in ipairs(one) do
    if argument ~= other[i] then
      return false
    end
  end
  return true
end

local request = requests.read(ARGV)

-- A generation of another version, or closed for the sake of its successor, is not ours to write; nor is one that has
-- got the number of ours after Redis was emptied: it may have other shards.
local known = redis.call('HMGET', meta, 'version', 'sealed', 'nonce')
if known[1] and (known[1] ~= request.version or known[2] or known[3] and known[3] ~= ARGV[#ARGV]) then
  return {'SEALED'}
end

local left, unreadable = note.read(prefix)
if left or unreadable then
  local refusal = unreadable or checks.forbidden(prefix)
  return refusal or write(requests.read(left.arguments), left.values, true)
    or {is_same(left.arguments, ARGV) and 'STORED' or 'FINISHED'}
end

return checks.refusal(prefix, request, known[1]) or write(request, values_of(request), false) or {'STORED'}
