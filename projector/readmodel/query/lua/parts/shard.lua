-- The keys of the shard. `position` is the last one that is declared but <absent>, and all keys have its prefix.
local POSITION = KEYS[#KEYS - 1]
local PREFIX = string.sub(POSITION, 1, -9)

-- Arguments of one command.
local ARGUMENTS = 1000

-- Calls `use` with parts of a list that are short enough for one command.
local function in_parts(list, use)
  for first = 1, #list, ARGUMENTS do
    use({unpack(list, first, math.min(first + ARGUMENTS - 1, #list))}, first)
  end
end

local function member_of(ordinal)
  return struct.pack('>I4', ordinal)
end

local function ordinal_of(member)
  return (struct.unpack('>I4', member))
end

local function each(list, change)
  local changed = {}
  for i, one in ipairs(list) do
    changed[i] = change(one)
  end
  return changed
end

local function members_of(ordinals)
  return each(ordinals, member_of)
end

local function ordinals_of(members)
  return each(members, ordinal_of)
end

-- The ordinals at some ranks of a sorted set, counted from its end if `descending`.
local function ranked(index, first, last, descending)
  if descending then
    return ordinals_of(redis.call('ZRANGE', index, first, last, 'REV'))
  end
  return ordinals_of(redis.call('ZRANGE', index, first, last))
end

return {
  prefix = PREFIX,
  position = POSITION,
  absent = KEYS[#KEYS],
  row = PREFIX .. 'row',
  record = PREFIX .. 'record',
  ordinal = PREFIX .. 'ordinal',
  changed = PREFIX .. 'changed',
  text = PREFIX .. 'text',
  created = PREFIX .. 'by:created_at',
  listed = PREFIX .. 'bits:all',
  numbered = PREFIX .. 'bits:has:display_id',
  in_parts = in_parts,
  members_of = members_of,
  ranked = ranked,
}
