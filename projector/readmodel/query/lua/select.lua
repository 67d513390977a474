-- Part of what passes some filters. Where one of them has few members it lists them, and the others are probed; where the
-- only one has so many that the page is near, it is walked to; else bitmaps are combined.
--
--   EVALSHA <sha> <n> <row> <rest> <text> <by:id> <by:sort> [<of:field:value> | <by:field>]... <position> <absent>
--     <the six of window.lua> <arguments> <bits> <chunks> <edit> <those of gathered.lua>
--
-- row             hash        group id -> JSON object of the default fields
-- rest            hash        group id -> what follows them in the document
-- text, edited    see lines.lua; with few groups the row tells what a line would
-- by:id           sorted set  every group id
-- by:sort         sorted set  every group id in the order of the list
-- of:field:value  sorted set  group ids with that value, scored by created_at
-- by:field        sorted set  every group id, scored by a field that a range filters
-- ordinal         sorted set  group id, scored by its ordinal
-- changed         sorted set  see bits.lua
-- bits:*          string      bitmaps over ordinals: see buckets.lua
-- bits:tmp:*      string, set write: gone when the script ends
-- position        hash        <topic>/<partition> -> next offset to apply
--
-- arguments: a msgpack map; keys are given by their number in KEYS
--   ids         list of group ids, a filter if by_id
--   values      for each filtered field the list of its sets, any of which will do
--   ranges      {key, sorted: it is by:sort, bounds: disjoint, ascending {lo, hi} as ZCOUNT takes them; pieces: the
--               same, or, with left_out, what is between them}
--   needle      casefolded text to be found in a group's line; empty: no filter
--   again       chunks of `text` that are searched here, beyond those that were searched before
--   by_created  by:sort is scored by created_at
--   tells       what is done is to be told: {step, key, groups} for each, behind all else in the answer
--   few         a filter with at most as many members lists them; else bitmaps are combined
--   probed      groups times sets in which they are looked up
--   interval    members of an interval that are looked up; of more, slices are combined
--   at_once     members that are looked up for masks within this call; of more, gather.lua puts the masks together
--   again_groups  groups that came or changed since, and are looked up again here
--   walked      groups that are looked at on the way to a page, where no more are to be expected
--   listed      groups, beyond those of the page, that are listed and sorted
--   rough       where every n-th place is asked for: by how much of n one may be off
--   part        bytes of a mask, or a quarter as many of a part of one: with fewer no smaller part is looked for that has
--               all its bits
--   at_once_listed  groups of a page that are listed and sorted here; of more who asks does that
--
-- bits, chunks, edit: what search.lua found in the first chunks, when that edit was the last; -1 chunks before it was
-- asked.
--
-- Answers as window.lua says, or
--   {position, -1}                                           search.lua is to be asked first, or once more
--   {position, -2, side, ...}                                gather.lua is, for these sides
--   {position, -3, ordinals, last, change, sides, bits}      this one is, with these arguments
--   {position, -4, count, places, moment}                    see window.lua
-- Strings are never compared here: Lua's `<` follows the locale. Redis sorts them: see order.lua.

local everyone = {
  name = BY_SORT,
  members = card,
  tries = 0,
  ordered = true,
  list = function()
    local ids = {}
    if valueless > 0 then
      ids = redis.call('ZRANGE', BY_SORT, card - valueless, card - 1)
    end
    if valueless < card then
      append(ids, redis.call('ZRANGE', BY_SORT, 0, card - valueless - 1))
    end
    return ids
  end,
}
for number = 1, SIDES do
  side(number)
end

local function matching(ordered_by_size)
  local driver = ordered_by_size[1]
  if driver.members == 0 then
    return {}, true
  end
  local ids = driver.list()
  tell('list', driver.name, #ids)
  for i = 2, #ordered_by_size do
    local one = ordered_by_size[i]
    if one ~= everyone then
      ids = one.probe(ids)
      tell('probe', one.name, #ids)
    end
  end
  if q.needle ~= '' then
    ids = containing(ids)
    tell('search', ROW, #ids)
  end
  return ids, driver.ordered
end

local function by_sides(ordered_by_size)
  local ids, ordered = matching(ordered_by_size)
  return answer(#ids, function(first, last, step)
    if not ordered then
      local fault
      ids, fault = sorted(ids)
      if fault then
        return nil, fault
      end
      ordered = true
    end
    return cut(ids, first, last, step)
  end, BY_SORT)
end

-- Those whose masks would take longer than there is time for in one call.
local function sides_to_gather(is_ready)
  local sum, found = 0, {}
  for number, one in ipairs(sides) do
    if not is_ready[number] then
      local work = 0
      if one.pieces > PIECES_AT_ONCE then
        work = math.huge
      else
        for i = 1, one.pieces do
          work = work + one.work(i)
        end
      end
      sum = sum + work
      if work > q.at_once / #sides then
        found[#found + 1] = number
      end
    end
  end
  return sum > q.at_once and found or {}
end

-- In the place of an error reply.
local FAR = {}

-- By the only filter, which knows how many pass it: a page that is near needs no mask. Nil if there is no such filter, or
-- the page is not near.
local function by_walk()
  local one = #sides == 1 and #gathered == 0 and q.needle == '' and sides[1]
  if not one or not one.is_counted then
    return nil
  end
  local reply = answer(one.members, function(first, last, step)
    local ids, fault = page_near(one.probe, one.members, first, last, step)
    return ids, fault or not ids and FAR
  end, BY_SORT)
  if reply ~= FAR then
    tell('count', one.name, one.members)
    return reply
  end
end

local function by_masks()
  local function another_call(code, more)
    local reply = {redis.call('HGETALL', POSITION), code}
    append(reply, more or {})
    return reply
  end
  local mask_ready, reached = mask_gathered()
  if reached then
    return another_call(-3, reached)
  end
  local ready, is_ready, parts = mask_ready and gathered or {}, {}, {ALL}
  for _, number in ipairs(ready) do
    is_ready[number] = true
  end
  if q.needle ~= '' then
    parts[2] = mask_of_needle()
    if not parts[2] then
      return another_call(-1)
    end
  end
  local missing = sides_to_gather(is_ready)
  if #missing > 0 then
    append(missing, ready)
    return another_call(-2, missing)
  end
  parts[#parts + 1] = mask_ready
  for number, one in ipairs(sides) do
    if not is_ready[number] then
      local mask = one.ready()
      if not mask then
        mask = empty_mask()
        one.put(mask, 1, one.pieces, set_bits)
      end
      parts[#parts + 1] = one.complete and one.complete(mask) or mask
    end
  end
  local mask = combined('AND', unpack(parts))
  local count = size_of(mask)
  tell('and', ALL, count)
  return answer(count, function(first, last, step) return page_of(mask, count, first, last, step) end, BY_SORT)
end

-- All of them, the one with the fewest members first, if those are few and soon looked up in the others; else nil.
local function short_way()
  local all, tries = {everyone}, 0
  for _, one in ipairs(sides) do
    one.members = one.size()
    tries = tries + one.tries
    all[#all + 1] = one
  end
  table.sort(all, function(a, b) return a.members < b.members end)
  tries = tries - all[1].tries
  return all[1].members <= q.few and all[1].members * tries <= q.probed and all or nil
end

local short = short_way()
local reply = short and by_sides(short) or by_walk() or by_masks()
drop_masks(0)
if q.tells and not reply.err and (reply[2] >= 0 or unlisted) then
  reply[#reply + 1] = steps
end
return reply
