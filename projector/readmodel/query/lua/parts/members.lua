-- What is asked, and what is done with lists of members. select.lua says what KEYS and the arguments hold.

-- Members per probing command: `unpack` fails at about 8000.
local CHUNK = 4000

local TEXT, BY_ID, BY_SORT = KEYS[3], KEYS[4], KEYS[5]
local q = cmsgpack.unpack(ARGV[7])

-- Where the order of the list begins in by:sort: rotated, it is with the members without a value, which have the score
-- +inf, and are at the end.
local card = redis.call('ZCARD', BY_SORT)
local valueless = ROTATED and redis.call('ZCOUNT', BY_SORT, '+inf', '+inf') or 0

-- For `projector explain`: what is done, with which key, and how many groups that leaves, or the mask of those. The key of
-- many sets is a function: nobody else needs so long a text.
local steps = {}
local function name_of(key)
  return type(key) == 'function' and key() or key
end
local function tell(step, key, groups)
  if q.tells then
    steps[#steps + 1] = {step, name_of(key), type(groups) == 'string' and redis.call('BITCOUNT', groups) or groups}
  end
end

local function chunks(list, size)
  size = size or CHUNK
  local from = 1
  return function()
    if from <= #list then
      local part = {unpack(list, from, math.min(from + size - 1, #list))}
      from = from + size
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

local function bound(text)
  if string.sub(text, 1, 1) == '(' then
    return tonumber(string.sub(text, 2)), true
  end
  return tonumber(text), false
end

-- What begins where an interval ends, or ends where it begins: what the interval has in it, this has not.
local function beside(bound)
  return string.sub(bound, 1, 1) == '(' and string.sub(bound, 2) or '(' .. bound
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
    -- A group that is not listed any more has none.
    local score = answer and tonumber(answer)
    if not score then
      return false
    end
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
