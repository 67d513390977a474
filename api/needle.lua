-- What has `q.needle` in its line.

local EDITED = PREFIX .. 'edited'
-- What a search has found before: bits by ordinals, of so many chunks, as they were after some edit. -1 chunks: nothing.
local BITS, CHUNKS, EDITS = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])

-- The line of a group by its row, which is at hand sooner: what a row begins with, if it needs no escapes, and is folded
-- letter by letter. Nil if it is not like that.
local PLAIN = '([^"\\\128-\255]*)"'
local function line_by_row(row)
  local id, customer = string.match(row, '^{"id":"' .. PLAIN .. ',"customer_id":"' .. PLAIN .. ',')
  if not id then
    id, customer = string.match(row, '^{"id":"' .. PLAIN .. ',"customer_id":null,'), ''
  end
  return id and string.lower(id .. '\254' .. customer)
end

local function line_by_id(id)
  local chunk, place = line_of(redis.call('ZSCORE', ORDINAL, id))
  return line_at(redis.call('HGET', TEXT, chunk), place)
end

-- Of `ids` those whose line has it.
local function containing(ids)
  local kept = {}
  for part in chunks(ids) do
    for i, row in ipairs(redis.call('HMGET', ROW, unpack(part))) do
      local line = row and line_by_row(row) or line_by_id(part[i])
      if string.find(line, q.needle, 1, true) then
        kept[#kept + 1] = part[i]
      end
    end
  end
  return kept
end

-- What was found, brought up to date; nil where that would take too long.
local function mask_of_needle()
  local ordinals = redis.call('ZCARD', ORDINAL)
  local ends = math.ceil(ordinals / LINES)
  local last = redis.call('ZREVRANGE', EDITED, 0, 0, 'WITHSCORES')
  if CHUNKS < 0 or CHUNKS * LINES > ordinals or tonumber(last[2] or 0) < EDITS then
    return nil
  end
  local again = redis.call('ZRANGE', EDITED, '(' .. EDITS, '+inf', 'BYSCORE', 'LIMIT', 0, q.again + 1)
  for chunk = CHUNKS, math.min(ends, CHUNKS + q.again + 1) - 1 do
    again[#again + 1] = chunk
  end
  if #again > q.again then
    return nil
  end
  local mask = mask_of(BITS)
  for _, chunk in ipairs(again) do
    redis.call('SETRANGE', mask, chunk * LINE_BYTES, (found_in(redis.call('HGET', TEXT, chunk), q.needle)))
  end
  tell('search', TEXT, mask)
  return mask
end
