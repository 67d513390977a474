-- Put in front of scan.lua and select.lua by scripts.py.

-- The last key: hash, <topic>/<partition> -> next offset to apply.
local POSITION = KEYS[#KEYS]

-- The hashes that hold the two parts of each document: KEYS[1] a JSON object of the default fields, KEYS[2] what
-- follows them, from the comma to the last brace.
local ROW, REST = KEYS[1], KEYS[2]

-- The documents of `ids` joined by commas; with `heads` only their default fields.
-- Answers nil and an error reply if one is missing: an index must never name a group that is not there.
local function rows(ids, heads)
  if #ids == 0 then
    return ''
  end
  local docs = redis.call('HMGET', ROW, unpack(ids))
  local rests = not heads and redis.call('HMGET', REST, unpack(ids))
  for i, doc in ipairs(docs) do
    if not doc or rests and not rests[i] then
      return nil, redis.error_reply('MISSING ' .. ids[i])
    end
    if rests then
      docs[i] = string.sub(doc, 1, -2) .. rests[i]
    end
  end
  return table.concat(docs, ',')
end

-- What both scripts answer: the position tells what count and rows reflect.
local function answer(count, text)
  return {count, text, redis.call('HGETALL', POSITION)}
end
