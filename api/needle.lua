-- What has `q.needle` in its line.

local EDITED = PREFIX .. 'edited'
-- What a search has found before: bits by ordinals, of so many chunks, as they were after some edit. -1 chunks: nothing.
local BITS, CHUNKS, EDITS = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])

-- Of `ids` those whose line has it.
local function containing(ids)
  local kept, texts = {}, {}
  for part in chunks(ids) do
    for i, ordinal in ipairs(redis.call('ZMSCORE', ORDINAL, unpack(part))) do
      local chunk, place = line_of(ordinal)
      if texts[chunk] == nil then
        local text = redis.call('HGET', TEXT, chunk)
        texts[chunk] = text and string.find(text, q.needle, 1, true) and text or false
      end
      if texts[chunk] and string.find(line_at(texts[chunk], place), q.needle, 1, true) then
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
