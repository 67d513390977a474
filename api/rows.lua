-- Put in front of scan.lua and select.lua by scripts.py.

-- The last key: hash, <topic>/<partition> -> next offset to apply.
local POSITION = KEYS[#KEYS]

-- Where the default fields of a document end. Inside a JSON string a quote has a backslash before it,
-- so the first plain occurrence is the real one.
local HEAD_END = ',"display_id":'

-- The documents of `ids` joined by commas; with `heads` only their default fields.
-- Answers nil and an error reply if one is missing: an index must never name a group that is not there.
local function rows(doc_key, ids, heads)
  if #ids == 0 then
    return ''
  end
  local docs = redis.call('HMGET', doc_key, unpack(ids))
  for i, doc in ipairs(docs) do
    if not doc then
      return nil, redis.error_reply('MISSING ' .. ids[i])
    end
    if heads then
      local cut = string.find(doc, HEAD_END, 1, true)
      if not cut then
        return nil, redis.error_reply('MALFORMED ' .. ids[i])
      end
      docs[i] = string.sub(doc, 1, cut - 1)
    end
  end
  return heads and table.concat(docs, '},') .. '}' or table.concat(docs, ',')
end

-- What both scripts answer: the position tells what count and rows reflect.
local function answer(count, text)
  return {count, text, redis.call('HGETALL', POSITION)}
end
