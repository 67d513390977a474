-- Some pieces of a side, put into a mask: as much as Redis may be held for.
--
--   EVALSHA <sha> <n> <keys of select.lua> <arguments of select.lua, as far as `arguments`> <side> <first piece>
--
-- by:*, of:*  sorted set  those of the side, see select.lua
-- ordinal     sorted set  group id, scored by its ordinal
-- changed     sorted set  see bits.lua
-- bits:*      string      bitmaps over ordinals: see buckets.lua
-- bits:tmp:*  string      write: gone when the script ends
--
-- side, first piece  see sides.lua
--
-- Answers {bits, next, ordinals, last, change}: bits by ordinals, of the groups in the pieces from the first to before
-- `next`, which is 0 where none is left; the rest as changes.lua has it.

-- Nobody reads them here.
q.tells = false

local one, first = side(tonumber(ARGV[8])), tonumber(ARGV[9])
local mask, work, piece = new_mask(), one.work(first), first + 1
while piece <= one.pieces do
  work = work + one.work(piece)
  if work > q.slice then
    break
  end
  piece = piece + 1
end
one.put(mask, first, piece - 1)
local reply = {redis.call('GET', mask) or '', piece <= one.pieces and piece or 0}
drop_masks(0)
append(reply, now())
return reply
