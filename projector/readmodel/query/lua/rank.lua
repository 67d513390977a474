-- Part of a sorted set that is the answer as it stands.
--
--   EVALSHA <sha> 4 <row> <record> <position> <absent> <those of answer.lua>
--
-- query: as ranks.lua takes it
--
-- Answers as answer.lua says. O(log n + page) at any rank.
local query, ranks, steps, answer = query, ranks, steps, answer

local index, count, skipped, at = ranks.of(query)
local recorded = steps.recorder(answer.explain)
recorded.tell('rank', index, count)
return answer.of('rank', count, recorded.steps, at, nil, skipped)
