-- Some pieces of a side, put into a mask: as much as Redis may be held for.
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
-- Answers {bits, done, ordinals, last, change}: bits by ordinals, of the groups in the first `done` pieces, of which there
-- is one; the rest as changes.lua has it.

local one = side(1)
local mask, work, done = new_mask(), one.work(1), 1
while done < one.pieces do
  work = work + one.work(done + 1)
  if work > q.slice then
    break
  end
  done = done + 1
end
one.put(mask, 1, done)
local reply = {redis.call('GET', mask) or '', done}
drop_masks(0)
append(reply, now())
return reply
