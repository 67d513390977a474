-- The groups of some pieces of a side: of as many as Redis may be held for.
--
--   EVALSHA <sha> <n> <keys and arguments of select.lua, as far as `arguments`, but of one side>
--
-- by:*, of:*  sorted set  those of the side, see select.lua
-- ordinal     sorted set  group id, scored by its ordinal
-- changed     sorted set  see bits.lua
-- bits:*      string      bitmaps over ordinals: see buckets.lua
-- bits:tmp:*  string      write: gone when the script ends
--
-- The arguments are of the pieces that are left, or of as many as are enough, and of nothing else: to read those of a
-- thousand values would take longer than all the rest. Beside those that select.lua has there is
--   slice  members that are looked up, if one piece alone has not more
--
-- Answers {done, bits, members, ordinals, last, change}: the groups in the first `done` pieces, at least one, are those of
-- `bits`, by ordinals, and of `members`, which are ordinals, or nil for who was never listed. The rest is as changes.lua
-- has it.

local one = side(1)
local work, done = one.work(1), 1
while done < one.pieces do
  work = work + one.work(done + 1)
  if work > q.slice then
    break
  end
  done = done + 1
end
-- To pass on a mask takes as long as a hundred ordinals and more: it has only what bitmaps have.
local mask, members = empty_mask(), {}
one.put(mask, 1, done, function(_, ids)
  for part in chunks(ids) do
    append(members, redis.call('ZMSCORE', ORDINAL, unpack(part)))
  end
end)
local reply = {done, redis.call('GET', mask) or '', members}
drop_masks(0)
append(reply, now())
return reply
