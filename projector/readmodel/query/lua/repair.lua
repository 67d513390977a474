-- Which groups commits changed since masks were prepared, and which of these pass the filters now.
--
--   EVALSHA <sha> 3 <row> <position> <absent> <query> <filters> <commit> <digest>
--
-- query    as combine.lua takes it
-- filters  their numbers, in msgpack
-- commit   the mask is as of this one
--
-- Answers {commit, digest, changed, passing}: the commit up to which these ordinals are all; nil if the old one is not
-- known.
local query, filters, prepared = query, filters, prepared

local numbers = cmsgpack.unpack(ARGV[2])
local changed, passing, commit, digest = prepared.changed(
  filters.of_query(query), numbers, ARGV[3], ARGV[4], query.changed
)
return changed and {commit, digest, changed, passing} or false
