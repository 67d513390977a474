-- The groups of a mask in consecutive intervals of created_at, the latest first.
--
-- by:created_at           sorted set  members, scored by created_at
-- bits:by:created_at:<k>  string      slices
local query, shard, masks, slices, sums = query, shard, masks, slices, sums

-- Of all shards together: they may be on one server, and are called for one request.
local WORK = query.histogram_work and query.histogram_work / tonumber(ARGV[18])

-- How many groups are at or after an edge, and a mask of them, if one is needed. `edge`: {piece as slices.lua has it,
-- score}.
local function since(edge, mask)
  if mask == shard.listed and not query.sums then
    return redis.call('ZCOUNT', shard.created, edge[2], '+inf')
  end
  local from = slices.within('created_at', {edge[1]}, 1, 1)
  local found = masks.combined('AND', mask, from)
  masks.give_back(from)
  return masks.count(found), found
end

-- `edges`: the latest first; between any two is an interval. Answers {groups at or after the first edge, {groups of
-- each interval}, {their sums}}: of as many intervals as there is time for, at least one. Nil if sums take too long.
local function of(edges, mask)
  local after, above = since(edges[1], mask)
  local latest, counts, its_sums, work = after, {}, {}, 0
  local work_of_one = masks.work() * (slices.number('created_at') + 1) + masks.work_of_count()
  for i = 2, #edges do
    local number, found = since(edges[i], mask)
    counts[#counts + 1] = number - after
    if query.sums then
      local between = masks.pin(masks.combined('XOR', found, above))
      local sum, its_work = sums.of(between, number - after)
      if not sum then
        return nil
      end
      its_sums[#its_sums + 1] = sum
      work = work + its_work
    end
    if above then
      masks.give_back(above)
      work = work + work_of_one
    end
    after, above = number, found
    if work > WORK then
      break
    end
  end
  return {latest, counts, its_sums}
end

return {of = of}
