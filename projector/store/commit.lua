-- Writes what one batch changes in one shard, and how far the log has been applied: all of it or nothing.
--
--   EVALSHA commit 1 <prefix>meta <head> <name> <bytes> <name> <bytes> ... <nonce>
--
-- The prefix is og:{<generation>.<shard>}: and every key below has it, hence one slot; only the first is declared.
--   meta      hash     read   version of the read model, nonce, sealed, log
--   position  hash     write  <topic>/<partition> -> next offset; redriven -> how often documents changed without one
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
-- head: a msgpack array, in the order of the locals below. The pairs behind it are, one section after the other:
-- expected (group id, revision), state, row, rest, parked, discarded, text; `sections` has the number of arguments in
-- each.
-- (Bytes cannot go into the head: the msgpack of Redis' Lua does not know its bin type.)
-- nonce: of the generation that the writer means.
-- Answers one of
--   STORED | ALREADY | SEALED | BEHIND | AHEAD | CHANGED, group id, ...
-- First come checks that write nothing, then writes that cannot fail: a script is never rolled back.

local version, positions, sections, unlisted, add, remove, tally, broad, unparked, redriven =
  unpack(cmsgpack.unpack(ARGV[1]), 1, 10)
local meta = KEYS[1]
local prefix = string.sub(meta, 1, -5)

-- A generation of another version, or closed for the sake of its successor, is not ours to write; nor is one that has
-- got the number of ours after Redis was emptied: it may have other shards.
local known = redis.call('HMGET', meta, 'version', 'sealed', 'nonce')
if known[1] and (known[1] ~= version or known[2] or known[3] and known[3] ~= ARGV[#ARGV]) then
  return {'SEALED'}
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

local reached = {}
for i = 1, #positions, 3 do
  reached[positions[i]] = string.format('%.0f', positions[i + 2])
  redis.call('HSET', prefix .. 'position', positions[i], reached[positions[i]])
end
if redriven then
  redis.call('HINCRBY', prefix .. 'position', 'redriven', 1)
end
each_chunk(unparked, 1, #unparked, function(...) redis.call('HDEL', prefix .. 'parked', ...) end)
local states = 2 + sections[1]
local first = states
for i, key in ipairs({'state', 'row', 'rest', 'parked', 'discarded'}) do
  local last = first + sections[i + 1] - 1
  each_chunk(ARGV, first, last, function(...) redis.call('HSET', prefix .. key, ...) end)
  first = last + 1
end
local texts = {}
for i = first, first + sections[7] - 1, 2 do
  texts[ARGV[i]] = ARGV[i + 1]
end
each_chunk(unlisted, 1, #unlisted, function(...)
  redis.call('HDEL', prefix .. 'row', ...)
  redis.call('HDEL', prefix .. 'rest', ...)
end)
local ordinals_end = find_ordinals(prefix, states, states + sections[2] - 1, add['by:id'] or {})
tell_changes(prefix .. 'changed')
keep_bits_before(prefix, add, remove)
for index, members in pairs(remove) do
  each_chunk(members, 1, #members, function(...) redis.call('ZREM', prefix .. index, ...) end)
end
for index, members in pairs(add) do
  each_chunk(members, 1, #members, function(...) redis.call('ZADD', prefix .. index, ...) end)
end
keep_bits_after(prefix, add, remove, broad, ordinals_end)
keep_lines(prefix, texts, unlisted, ordinals_end)
for name, records in pairs(tally) do
  redis.call('HINCRBY', prefix .. 'tally', name, records)
end
if #positions > 0 then
  -- For readers who wait for it. A courtesy: where a user may not publish, the commit stands nevertheless.
  redis.pcall('PUBLISH', prefix .. 'stored', cjson.encode(reached))
end
return {'STORED'}
