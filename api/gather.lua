-- Some pieces of a side, put into a mask: as much as Redis may be held for.
--
--   EVALSHA <sha> <n> <keys of select.lua> <arguments of select.lua, as far as `arguments`> <side> <first piece>
--
-- side, first piece  see sides.lua
--
-- Answers {bits, next, ordinals, changes}: bits by ordinals, of the groups in the pieces from the first to before `next`,
-- which is 0 where none is left; how many ordinals there are, and the number of the last change.

local asked, piece = side(tonumber(ARGV[8])), tonumber(ARGV[9])
local mask, work = new_mask(), 0
while piece <= asked.pieces do
  work = work + asked.work(piece)
  -- One at least.
  if work > q.slice and piece > tonumber(ARGV[9]) then
    break
  end
  asked.put(mask, piece)
  piece = piece + 1
end
local bits = redis.call('GET', mask) or ''
drop_masks(0)
local newest = redis.call('ZRANGE', PREFIX .. 'changed', -1, -1, 'WITHSCORES')[2]
return {bits, piece <= asked.pieces and piece or 0, redis.call('ZCARD', ORDINAL), tonumber(newest or 0)}
