-- Part of the list of what passes some filters. A filter with few members lists them, and these are looked up in the
-- others; else bitmaps are combined, and the page is cut by slices.
--
--   EVALSHA <sha> 4 <row> <record> <position> <absent> <those of answer.lua> <needle> <needle bits> <needle commit>
--   <needle digest> <prepared filters> <prepared bits> <prepared commit> <prepared digest> <most> <sellers commit>
--   <sellers digest> <shards>
--
-- bits:*      string        bitmaps, see filters.lua and slices.lua
-- bits:tmp:*  string write  gone when the script ends
--
-- query: a msgpack map
--   sort      {field, slices, descending}
--   values    for each filtered field the names of its sets, any of which will do
--   ranges    see filters.lua
--   ids       group ids, or nil
--   few       a filter with at most so many members lists them
--   look_ups  groups times sets in which they are looked up
--   walked    groups that are looked at in the order of the list, if the page is likely to be among them
--   listed    groups, beyond those of the page, that are listed and sorted
--   at_once   members that are set one by one for bitmaps within this call; of more, prepare.lua makes the masks
--   mark      nil, or after which row the page begins, see after.lua
--   changed   groups that commits changed since a mask was prepared, and that are looked at again here
--   rank      for a list that is a sorted set as it stands, what ranks.lua takes; else nil
--   and, see counts/aggregates.lua, what is counted beside the page
--
-- needle: what a line of `text` has, such as the casefolded text of `q`; empty: anything. needle bits: what the
-- caller's mirror found, as of a commit, or -1 if it was not asked. prepared bits: the mask of all the filters that the
-- msgpack list `prepared filters` numbers, as of a commit; see prepare.lua. most: see counts/aggregates.lua. sellers
-- commit: since when the caller knows the sellers of the groups, -1 if it does not; see counts/facets.lua.
-- shards: the number of them that are called.
--
-- Answers as answer.lua says, and tenth what aggregates.lua answers, or {position, code, more}
--   STALE    the mirror is too old: it is to be refreshed
--   PREPARE  prepare.lua is to be asked for the filters numbered in `more`
--   BEHIND   more groups changed since the masks were prepared than are looked at here. `more` is of some of them:
--            {commit, digest, changed, passing}, the commit up to which these ordinals are all, and those that pass now
--   SELLERS  the sellers of many groups are to be read first, see counts/facets.lua
--   TOO_MUCH  what is to be counted takes too long, `more` names it
local shard, masks, filters, prepared, needle = shard, masks, filters, prepared, needle
local query, rows, ranks, page, after, steps = query, rows, ranks, page, after, steps
local answer, aggregates = answer, aggregates

-- What is written here is gone at the end, and no business of replicas.
redis.set_repl(redis.REPL_NONE)
local sort = query.sort
local recorded = steps.recorder(answer.explain)
local tell = recorded.tell

local function another_call(code, more)
  masks.drop()
  return {redis.call('HGETALL', shard.position), code, more}
end

local all = filters.of_query(query)
local ready, code = prepared.of(all, query.changed, unpack(ARGV, 11, 14))
if code then
  return another_call(code, ready)
end
local wanted = {}
for number, one in ipairs(all) do
  if not ready.has[number] then
    one.number = number
    wanted[#wanted + 1] = one
  end
end
table.sort(wanted, function(left, right)
  return left.size() < right.size()
end)
local driver = wanted[1]
local is_few = driver ~= nil and driver.size() <= math.max(query.few, query.ids and #query.ids or 0)
  and next(aggregates.own) == nil

local function to_prepare()
  local numbers, work = {}, 0
  for i, one in ipairs(wanted) do
    local is_free = is_few and i == 1 or aggregates.own[one.number]
    local its_work = is_free and 0 or one.work(is_few and driver.size() or nil)
    work = work + its_work
    local is_cut = one.pieces and one.pieces > 0 and not aggregates.own[one.number]
    if is_cut and its_work > query.at_once / #wanted then
      numbers[#numbers + 1] = one.number
    end
  end
  return work > query.at_once and numbers or {}
end
local too_long = aggregates.too_long(all)
if too_long then
  return another_call('TOO_MUCH', too_long)
end
local missing = to_prepare()
if #missing > 0 then
  for number in pairs(ready.has) do
    missing[#missing + 1] = number
  end
  return another_call('PREPARE', missing)
end
if ready.mask then
  wanted[#wanted + 1] = filters.of_mask(shard.changed, ready.mask)
  tell('prepared', shard.changed, ready.mask)
end
if ARGV[7] ~= '' then
  local found, commit = masks.new(), tonumber(ARGV[9])
  if commit < 0 or not needle.mask(found, ARGV[7], ARGV[8], commit, ARGV[10]) then
    return another_call('STALE')
  end
  wanted[#wanted + 1] = filters.of_mask(shard.text, found)
  tell('search', shard.text, found)
end

-- Adds what is counted beside the page to the reply.
local function counted(reply, mask, count, parts)
  if reply.err then
    return reply
  end
  local found, other, more = aggregates.of(mask, count, parts, wanted, tell)
  if not found then
    return another_call(other, more)
  end
  reply[10] = found
  return reply
end

-- Those of the smallest filter that pass all others.
local function by_look_up()
  local ordinals = rows.listed(driver.list())
  tell('list', driver.name, #ordinals)
  for i = 2, #wanted do
    ordinals = wanted[i].keep(ordinals)
    tell('look-up', wanted[i].name, #ordinals)
  end
  if answer.first < math.min(answer.past, #ordinals) then
    ordinals = rows.sorted(ordinals, sort.field, sort.descending)
    tell('sort', shard.row, #ordinals)
  end
  local rest = after.kept(ordinals)
  local reply = answer.of('look-up', #ordinals, recorded.steps, function(first, last, step)
    return page.cut(rest, first, last, step)
  end, ordinals, #ordinals - #rest)
  return aggregates.are_wanted and counted(reply, masks.pin(masks.of_ordinals(ordinals)), #ordinals) or reply
end

-- Among all groups by created_at, in the order of the list: the rank from which on groups may pass, and how many may.
local function near()
  for _, one in ipairs(wanted) do
    if one.scores and #one.scores == 1 then
      local lo = one.scores[1][1]
      local from_lo = redis.call('ZCOUNT', shard.created, lo, '+inf')
      return sort.descending and from_lo - one.size() or redis.call('ZCARD', shard.created) - from_lo, one.size()
    end
  end
  return 0, redis.call('ZCARD', shard.created)
end

local function by_masks()
  local parts = {}
  for i, one in ipairs(wanted) do
    parts[i] = masks.pin(one.mask())
    tell(one.field and 'slices' or 'bitmap', one.name, parts[i])
  end
  local mask = masks.pin(masks.combined_all('AND', #parts > 0 and parts or {shard.listed}))
  local count = masks.count(mask)
  tell('and', shard.listed, count)
  local rest, left = after.rest(mask, count)
  if query.mark then
    tell('after', shard.prefix .. 'bits:by:' .. sort.field, left)
  end
  local reply = answer.of('masks', count, recorded.steps, function(first, last, step)
    local found
    if query.rank then
      local _, _, _, at = ranks.of(query.rank)
      return at(first, last, step)
    elseif sort.field == 'created_at' and not query.mark and step == 1 then
      local start, many = near()
      local most = query.walked + 4 * (last - first + 1)
      found = page.walked(mask, count, sort.descending, start, many, first, last, most, tell)
    end
    return found or page.of_mask(sort, query.listed, tell, rest, left, first, last, step)
  end, mask, count - left)
  return aggregates.are_wanted and counted(reply, mask, count, parts) or reply
end

local reply = is_few and by_look_up() or by_masks()
masks.drop()
return reply
