-- The members of some sorted sets, from one of them on. Reads only.
--
--   EVALSHA sets 2 <prefix>position <prefix>absent <first rank in the first set> <members, at most> <name> ...
--
-- The prefix is og:{<generation>.<shard>}: and every key has it. `position` only names the prefix. `absent` never
-- exists, so that nothing is read while the slot migrates.
--
-- Answers {done, rank, counts, members, scores, odd}: `done` sets were read to their ends, and of the next one, if any,
-- what lies before `rank`.
--   counts    of each set, how many members follow
--   members   of all sets, four bytes each
--   scores    theirs, separated by commas
--   odd       {name, member, score, ...} of members that are not of four bytes

local prefix = string.sub(KEYS[1], 1, -9)
local rank, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local done, counts, members, scores, odd = 0, {}, {}, {}, {}

for i = 3, #ARGV do
  local found = redis.call('ZRANGE', prefix .. ARGV[i], rank, rank + left - 1, 'WITHSCORES')
  local before = #members
  for j = 1, #found, 2 do
    if #found[j] == 4 then
      members[#members + 1] = found[j]
      scores[#members] = found[j + 1]
    else
      odd[#odd + 1] = ARGV[i]
      odd[#odd + 1] = found[j]
      odd[#odd + 1] = found[j + 1]
    end
  end
  counts[#counts + 1] = #members - before
  if #found / 2 >= left then
    rank = rank + left
    break
  end
  left = left - #found / 2
  done, rank = done + 1, 0
end
return {done, rank, counts, table.concat(members), table.concat(scores, ','), odd}
