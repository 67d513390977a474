-- Some pieces of a filter's mask: as many as Redis may be held for.
--
--   EVALSHA <sha> 3 <row> <position> <absent> <query> <filter> <piece> <work>
--
-- query   as combine.lua takes it
-- filter  its number
-- piece   the first one, from 1
-- work    how much a call may take, as `work` in filters.lua; the first piece is made even if it takes more
--
-- Answers {next, operation, bits, commit, digest}: the piece to go on with, 0 after the last one; OR or XOR, by which
-- the bitmaps of the calls are combined; that of these pieces; and the newest commit that changed groups.
local query, masks, changes, filters = query, masks, changes, filters

redis.set_repl(redis.REPL_NONE)
local filter = filters.of_query(query)[tonumber(ARGV[2])]
local first, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local last, work = first, filter.work_of(first)
while last < filter.pieces do
  work = work + filter.work_of(last + 1)
  if work > most then
    break
  end
  last = last + 1
end
local bits = redis.call('GET', filter.part(first, last)) or ''
masks.drop()
return {last < filter.pieces and last + 1 or 0, filter.operation, bits, changes.newest()}
