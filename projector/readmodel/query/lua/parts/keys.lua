-- The last key but <absent>: hash, <topic>/<partition> -> next offset to apply. All keys of the shard have its prefix.
local POSITION = KEYS[#KEYS - 1]
local PREFIX = string.sub(POSITION, 1, -9)
