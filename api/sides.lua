-- Put between window.lua and select.lua, which says what KEYS and the arguments hold.
--
-- A side is one filter. `size` is at least the number of its members, `list()` answers them, `probe(ids)` those of `ids`
-- among them, in the order given. `ordered`: list() is in the ascending order of by:sort.

-- Members per probing command: `unpack` fails at about 8000.
local CHUNK = 4000

local TEXT, BY_ID, BY_SORT = KEYS[3], KEYS[4], KEYS[5]
local q = cmsgpack.unpack(ARGV[7])

-- For `projector explain`: what is done, with which key, and how many groups that leaves, or the mask of those.
local steps = {}
local function tell(step, key, groups)
  if q.tells then
    steps[#steps + 1] = {step, key, type(groups) == 'string' and redis.call('BITCOUNT', groups) or groups}
  end
end

local function chunks(list)
  local from = 1
  return function()
    if from <= #list then
      local part = {unpack(list, from, math.min(from + CHUNK - 1, #list))}
      from = from + CHUNK
      return part
    end
  end
end

local function append(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
end

-- Of `ids` those that are keys of `set`.
local function among(ids, set)
  local kept = {}
  for _, id in ipairs(ids) do
    if set[id] then
      kept[#kept + 1] = id
    end
  end
  return kept
end

-- Of `ids` those for which `accept(answer)` holds, where `command key id...` gives one answer for each.
local function probed(ids, command, key, accept)
  local kept = {}
  for part in chunks(ids) do
    for i, answer in ipairs(redis.call(command, key, unpack(part))) do
      if accept(answer) then
        kept[#kept + 1] = part[i]
      end
    end
  end
  return kept
end

local function exists(answer)
  return answer ~= false
end

local function side_of_ids()
  return {
    name = 'id',
    size = #q.ids,
    list = function()
      return probed(q.ids, 'ZMSCORE', BY_ID, exists)
    end,
    probe = function(ids)
      local wanted = {}
      for _, id in ipairs(q.ids) do
        wanted[id] = true
      end
      return among(ids, wanted)
    end,
  }
end

local function side_of_values(numbers)
  local keys, size = {}, 0
  for i, number in ipairs(numbers) do
    keys[i] = KEYS[number]
    size = size + redis.call('ZCARD', keys[i])
  end
  return {
    name = table.concat(keys, ' '),
    size = size,
    ordered = q.by_created,
    list = function()
      if #keys == 1 then
        return redis.call('ZRANGE', keys[1], 0, -1)
      end
      -- A group has the same score in every set; MIN keeps it, and with it the order.
      local command = {'ZUNION', #keys}
      append(command, keys)
      append(command, {'AGGREGATE', 'MIN'})
      return redis.call(unpack(command))
    end,
    probe = function(ids)
      local found, left = {}, ids
      for _, key in ipairs(keys) do
        if redis.call('ZCARD', key) < #left then
          -- Sooner listed than looked up in.
          for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
            found[id] = true
          end
        else
          for _, id in ipairs(probed(left, 'ZMSCORE', key, exists)) do
            found[id] = true
          end
          local rest = {}
          for _, id in ipairs(left) do
            if not found[id] then
              rest[#rest + 1] = id
            end
          end
          left = rest
        end
      end
      return among(ids, found)
    end,
  }
end

local function bound(text)
  if string.sub(text, 1, 1) == '(' then
    return tonumber(string.sub(text, 2)), true
  end
  return tonumber(text), false
end

-- Whether a score lies in one of the intervals: the last that begins at or before it is the only candidate.
local function within(intervals)
  local parsed = {}
  for i, pair in ipairs(intervals) do
    local lo, lo_open = bound(pair[1])
    local hi, hi_open = bound(pair[2])
    parsed[i] = {lo = lo, lo_open = lo_open, hi = hi, hi_open = hi_open}
  end
  return function(answer)
    local score = tonumber(answer)
    local first, last = 0, #parsed
    while first < last do
      local middle = math.ceil((first + last) / 2)
      local interval = parsed[middle]
      if interval.lo < score or (interval.lo == score and not interval.lo_open) then
        first = middle
      else
        last = middle - 1
      end
    end
    if first == 0 then
      return false
    end
    local interval = parsed[first]
    return score < interval.hi or (score == interval.hi and not interval.hi_open)
  end
end

local function side_of_range(range)
  local key, size = KEYS[range.key], 0
  for _, pair in ipairs(range.bounds) do
    size = size + redis.call('ZCOUNT', key, pair[1], pair[2])
  end
  return {
    name = key,
    size = size,
    ordered = range.sorted,
    list = function()
      local ids = {}
      for _, pair in ipairs(range.bounds) do
        append(ids, redis.call('ZRANGE', key, pair[1], pair[2], 'BYSCORE'))
      end
      return ids
    end,
    probe = function(ids)
      return probed(ids, 'ZMSCORE', key, within(range.bounds))
    end,
  }
end
