-- The last key: hash, <topic>/<partition> -> next offset to apply. All keys of the shard have its prefix.
local POSITION = KEYS[#KEYS]
local PREFIX = string.sub(POSITION, 1, -9)
