-- What has `q.needle` in its line.

local EDITED = PREFIX .. 'edited'
-- What a search has found before: bits by ordinals, of so many chunks, as they were after some edit. -1 chunks: nothing.
local BITS, CHUNKS, EDITS = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])

-- The line of a group by its row, which is read sooner than a chunk of lines and begins with the id and the customer id
-- or null. Nil where one of them is escaped, or not ASCII: only of ASCII `string.lower` is casefolding.
local PLAIN = '"([^"\\\128-\255]*)",'
local ROW_OF_ONE = '^{"id":' .. PLAIN .. '"customer_id":' .. PLAIN
local ROW_OF_NOBODY = '^{"id":' .. PLAIN .. '"customer_id":null,'
local function line_by_row(row)
  local id, customer = string.match(row, ROW_OF_ONE)
  if not id then
    id, customer = string.match(row, ROW_OF_NOBODY), ''
  end
  return id and string.lower(id .. '\254' .. customer)
end

-- The line at a place, counted from 0.
local function line_at(chunk, place)
  local start = 1
  for _ = 1, place do
    start = string.find(chunk, END, start, true) + 1
  end
  return string.sub(chunk, start, string.find(chunk, END, start, true) - 1)
end

-- `texts`: chunk -> its text, of those that were read before.
local function line_by_id(id, texts)
  local chunk, place = line_of(redis.call('ZSCORE', ORDINAL, id))
  texts[chunk] = texts[chunk] or redis.call('HGET', TEXT, chunk)
  return line_at(texts[chunk], place)
end

-- Of `ids` those whose line has it.
local function containing(ids)
  local kept, texts = {}, {}
  for part in chunks(ids) do
    for i, row in ipairs(redis.call('HMGET', ROW, unpack(part))) do
      local line = row and line_by_row(row) or line_by_id(part[i], texts)
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
