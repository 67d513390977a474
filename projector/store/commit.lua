-- Writes what one batch changes in one shard, and how far the log has been applied: all of it or nothing.
--
--   EVALSHA commit 2 <prefix>meta <prefix>absent <head> <name> <bytes> <name> <bytes> ... <nonce>
--
-- The prefix is og:{<generation>.<shard>}: and every key below has it, hence one slot.
--   absent                    never exists: while the slot migrates, Redis refuses to run a script that declares it.
--                             Without it, a migration could stop the script halfway
--   meta      hash     read   version of the read model, nonce, sealed, log
--   note      list     write  all of this commit, while it is being written: see "Redo" below
--   position  hash     write  <topic>/<partition> -> next offset; redriven -> how often documents changed without one;
--                             unfinished -> 1 while there is a note: readers answer nothing from it
--   last      hash     write  <topic>/<partition> -> JSON: the anchors of that position, see anchors.py
--   state     hash     write  group id -> 8 bytes of revision, orders in msgpack
--   row       hash     write  group id -> JSON object of the list's default fields
--   rest      hash     write  group id -> what follows them in the document
--   text      hash     write  chunk -> lines by ordinal, what q looks through: see lines.lua
--   edited    zset     write  chunk, scored by its last edit
--   by:*, of:* zset    write  group id, scored
--   ordinal   zset     write  group id, scored by its ordinal, which it keeps for ever
--   changed   zset     write  <n>:<ordinals in msgpack>, scored by n: what commits changed, the last ones
--   bits:*    string   write  bitmaps over ordinals: see buckets.lua
--   parked    hash     write  <topic>/<partition>@<offset> -> JSON
--   discarded hash     write  <topic>/<partition>@<offset> -> JSON, of what was parked
--   tally     hash     write  <topic>/<partition>:<fate> -> number of records
--   stored    channel         JSON: <topic>/<partition> -> next offset, once for each answer STORED
--
-- head: a msgpack array, in the order of the locals of `apply`. The pairs behind it are, one section after the other:
-- expected (group id, revision), state, row, rest, parked, discarded, text; `sections` has the number of arguments in
-- each.
-- (Bytes cannot go into the head: the msgpack of Redis' Lua does not know its bin type.)
-- nonce: of the generation that the writer means.
-- Answers one of
--   STORED | ALREADY | SEALED | BEHIND | AHEAD | CHANGED, group id, ...
--   FINISHED   a commit that was left half written is finished now. Nothing of this one was looked at: send it again
--   the error NOPERM, where the user lacks a command that the commit needs
--
-- Redo. A script is never rolled back, and a command in it may fail although the one before did not. So the checks and the
-- user's rights come first, then a note of the whole commit with its results as absolute values, then the writes, then
-- positions and tallies, and last the note is deleted. Once the note stands, the commit is decided: the next commit for
-- this shard, whoever sends it, first writes all of it again. Each write may be repeated.
-- Replicas and the append-only file get the note only where a write has failed: else the writes reach them as one
-- transaction.

-- The format of the note. A note of another format was written by another release.
local NOTE_FORMAT = 1

local meta = KEYS[1]
local prefix = string.sub(meta, 1, -5)
local note_key = prefix .. 'note'

-- What the writes below need, with arguments of the kind that they have there.
local COMMANDS = {
  {'RPUSH', 'note', ''}, {'LRANGE', 'note', 0, -1}, {'DEL', 'note'}, {'EXISTS', 'bits:all'},
  {'RENAME', 'bits:tmp', prefix .. 'bits:all'},
  {'HGET', 'text', ''}, {'HSET', 'row', '', ''}, {'HDEL', 'row', ''},
  {'ZADD', 'by:id', 0, ''}, {'ZREM', 'by:id', ''}, {'ZREMRANGEBYRANK', 'changed', 0, 0}, {'ZCARD', 'ordinal'},
  {'ZMSCORE', 'ordinal', ''}, {'ZRANGE', 'ordinal', 0, 0}, {'ZREVRANGE', 'edited', 0, 0},
  {'GETRANGE', 'bits:all', 0, 0}, {'SETRANGE', 'bits:all', 0, ''}, {'SETBIT', 'bits:all', 0, 0},
  {'BITFIELD', 'bits:all', 'SET', 'u1', 0, 0},
}

-- The first command that the user may not run, or that this server does not have.
local function forbidden()
  for _, command in ipairs(COMMANDS) do
    local key = prefix .. command[2]
    local known, allowed = pcall(redis.acl_check_cmd, command[1], key, unpack(command, 3))
    if not known or not allowed then
      return redis.error_reply('NOPERM a commit needs the command ' .. command[1] .. ' on ' .. key)
    end
  end
end

-- `arguments`: as ARGV. `tallies`: {name, records, ...}. `redriven`: how often by now, or false.
local function apply(arguments, is_redo, tallies, redriven)
  local _, positions, sections, unlisted, add, remove, _, broad, unparked, _, anchors =
    unpack(cmsgpack.unpack(arguments[1]), 1, 11)
  each_chunk(unparked, 1, #unparked, function(...) redis.call('HDEL', prefix .. 'parked', ...) end)
  local states = 2 + sections[1]
  local first = states
  for i, key in ipairs({'state', 'row', 'rest', 'parked', 'discarded'}) do
    local last = first + sections[i + 1] - 1
    each_chunk(arguments, first, last, function(...) redis.call('HSET', prefix .. key, ...) end)
    first = last + 1
  end
  local texts = {}
  for i = first, first + sections[7] - 1, 2 do
    texts[arguments[i]] = arguments[i + 1]
  end
  each_chunk(unlisted, 1, #unlisted, function(...)
    redis.call('HDEL', prefix .. 'row', ...)
    redis.call('HDEL', prefix .. 'rest', ...)
  end)
  local listed = add['by:id'] or {}
  local ordinals_end = find_ordinals(prefix, arguments, states, states + sections[2] - 1, listed, is_redo)
  tell_changes(prefix .. 'changed')
  keep_bits_before(prefix, add, remove, is_redo)
  for index, members in pairs(remove) do
    each_chunk(members, 1, #members, function(...) redis.call('ZREM', prefix .. index, ...) end)
  end
  for index, members in pairs(add) do
    each_chunk(members, 1, #members, function(...) redis.call('ZADD', prefix .. index, ...) end)
  end
  keep_bits_after(prefix, add, remove, broad, ordinals_end)
  keep_lines(prefix, texts, unlisted, ordinals_end, is_redo)
  each_chunk(tallies, 1, #tallies, function(...) redis.call('HSET', prefix .. 'tally', ...) end)
  each_chunk(anchors, 1, #anchors, function(...) redis.call('HSET', prefix .. 'last', ...) end)
  local reached = {}
  for i = 1, #positions, 3 do
    reached[positions[i]] = string.format('%.0f', positions[i + 2])
    redis.call('HSET', prefix .. 'position', positions[i], reached[positions[i]])
  end
  if redriven then
    redis.call('HSET', prefix .. 'position', 'redriven', redriven)
  end
  return reached
end

-- Its first element is `values`, then come the arguments as they are: to pack them would take half as long as the commit.
-- It gets its name once it is complete.
local function write_note(values, arguments)
  local unfinished = note_key .. ':tmp'
  redis.call('DEL', unfinished)
  redis.call('RPUSH', unfinished, values)
  each_chunk(arguments, 1, #arguments, function(...) redis.call('RPUSH', unfinished, ...) end)
  redis.call('RENAME', unfinished, note_key)
  redis.call('HSET', prefix .. 'position', 'unfinished', 1)
end

local function delete_note()
  redis.call('HDEL', prefix .. 'position', 'unfinished')
  redis.call('DEL', note_key)
end

-- Returns an error, or nothing. `values`: what the writes depend on beside the arguments, in msgpack. `is_redo`: the note
-- is there already, and others may know it.
local function write(values, arguments, is_redo)
  if not is_redo then
    redis.set_repl(redis.REPL_NONE)
    write_note(values, arguments)
    redis.set_repl(redis.REPL_ALL)
  end
  local is_written, reached = pcall(apply, arguments, is_redo, unpack(cmsgpack.unpack(values), 2, 3))
  if not is_written then
    write_note(values, arguments)
    return type(reached) == 'table' and reached or redis.error_reply('ERR ' .. tostring(reached))
  end
  if not is_redo then
    redis.set_repl(redis.REPL_NONE)
  end
  delete_note()
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

local version, positions, sections, _, _, _, tally, _, unparked, redriven = unpack(cmsgpack.unpack(ARGV[1]), 1, 10)

-- A generation of another version, or closed for the sake of its successor, is not ours to write; nor is one that has
-- got the number of ours after Redis was emptied: it may have other shards.
local known = redis.call('HMGET', meta, 'version', 'sealed', 'nonce')
if known[1] and (known[1] ~= version or known[2] or known[3] and known[3] ~= ARGV[#ARGV]) then
  return {'SEALED'}
end

if redis.call('EXISTS', note_key) == 1 then
  local left = redis.call('LRANGE', note_key, 0, -1)
  local values = table.remove(left, 1)
  if cmsgpack.unpack(values)[1] ~= NOTE_FORMAT then
    return redis.error_reply('ERR ' .. note_key .. ' holds a half-written commit of another release: run that one')
  end
  local refusal = forbidden()
  if refusal then
    return refusal
  end
  return write(values, left, true) or {is_same(left, ARGV) and 'STORED' or 'FINISHED'}
end

-- Positions: {name, from, to, ...}; from is false where nothing has been applied yet. A replay writes what it has folded
-- in several parts, and names positions in the last alone: to do the others again, or over, changes nothing.
-- A Redis that lost its last writes answers BEHIND, one that another process has written AHEAD.
local at_start, at_end, behind = true, #positions > 0, not known[1]
for i = 1, #positions, 3 do
  local stored = redis.call('HGET', prefix .. 'position', positions[i])
  stored = stored and tonumber(stored) or -1
  local from, to = positions[i + 1] or -1, positions[i + 2]
  at_start = at_start and stored == from
  at_end = at_end and stored == to
  behind = behind or stored < from
end
if behind then
  return {'BEHIND'}
elseif at_end then
  return {'ALREADY'}
elseif not at_start then
  return {'AHEAD'}
end

-- What a redrive or a discard takes from the parked records must still be there, each of it: else another one has been
-- there before, or this one itself.
local gone = 0
for _, name in ipairs(unparked) do
  gone = gone + 1 - redis.call('HEXISTS', prefix .. 'parked', name)
end
if gone > 0 then
  return {gone == #unparked and 'ALREADY' or 'CHANGED'}
end

-- Groups: {id, revision, ...}; another partition may have met us in one.
local changed = {'CHANGED'}
for i = 2, 1 + sections[1], 2 do
  local stored = redis.call('HGET', prefix .. 'state', ARGV[i])
  if (stored and string.sub(stored, 1, 8) or '') ~= ARGV[i + 1] then
    changed[#changed + 1] = ARGV[i]
  end
end
if #changed > 1 then
  return changed
end

local refusal = forbidden()
if refusal then
  return refusal
end
local tallies, times = {}, redriven and (redis.call('HGET', prefix .. 'position', 'redriven') or 0) + 1
for name, records in pairs(tally) do
  tallies[#tallies + 1] = name
  tallies[#tallies + 1] = string.format('%.0f', (redis.call('HGET', prefix .. 'tally', name) or 0) + records)
end
return write(cmsgpack.pack({NOTE_FORMAT, tallies, times}), ARGV, false) or {'STORED'}
