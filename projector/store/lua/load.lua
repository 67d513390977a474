-- The groups of a batch.
--
--   EVALSHA load 3 <prefix>ordinal <prefix>record <prefix>absent <group id>...
--
-- Answers for each group, in turn, its member and its record; false for those that are not there.
local ordinal, record = KEYS[1], KEYS[2]
local members = lists.values(ordinal, ARGV)
-- The members that are there. `false or nil` is nil, which appends nothing.
local known = {}
for _, member in ipairs(members) do
  known[#known + 1] = member or nil
end
local records, answer, n = lists.values(record, known), {}, 0
for _, member in ipairs(members) do
  if member then
    n = n + 1
  end
  answer[#answer + 1] = member
  answer[#answer + 1] = member and records[n]
end
return answer
