-- Put between bits.lua and commit.lua: keeps the lines of `text` as the documents are.

-- Writes lines of one chunk, place -> line; answers whether any was there before and another one.
local function write_lines(key, chunk, changed)
  local lines, is_edit, last = split_lines(redis.call('HGET', key, chunk) or ''), false, 0
  for place, line in pairs(changed) do
    is_edit = is_edit or lines[place] ~= nil and lines[place] ~= line
    last = math.max(last, place)
  end
  local is_longer = last > #lines
  if is_edit or is_longer then
    for place = 1, math.max(last, #lines) do
      lines[place] = changed[place] or lines[place] or ''
    end
    redis.call('HSET', key, chunk, table.concat(lines, END) .. END)
  end
  return is_edit
end

-- `texts`: id -> line, those that this commit changes. Each group that gets an ordinal gets a line. In a redo a line may
-- be written already, and its chunk not be listed as edited.
local function keep_lines(prefix, texts, unlisted, ordinals_end, is_redo)
  local chunks, edited = {}, {}
  local function put(ordinal, line)
    local chunk, place = line_of(ordinal)
    chunks[chunk] = chunks[chunk] or {}
    chunks[chunk][place + 1] = line
  end
  for ordinal = first_fresh, ordinals_end - 1 do
    put(ordinal, '')
  end
  for id, line in pairs(texts) do
    put(ordinals[id], line)
  end
  for _, id in ipairs(unlisted) do
    put(ordinals[id], '')
  end
  for chunk, changed in pairs(chunks) do
    if write_lines(prefix .. 'text', chunk, changed) or is_redo then
      edited[#edited + 1] = chunk
    end
  end
  if #edited > 0 then
    local last = redis.call('ZREVRANGE', prefix .. 'edited', 0, 0, 'WITHSCORES')
    local number = tonumber(last[2] or 0) + 1
    for _, chunk in ipairs(edited) do
      redis.call('ZADD', prefix .. 'edited', number, chunk)
    end
  end
end
