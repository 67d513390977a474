-- The arguments of a commit, taken apart. ../request.py makes them; commit.lua says what they are.
local SECTIONS = {'groups', 'changed', 'commands', 'bits', 'values', 'texts'}

-- Returns a table of the head's fields, of `arguments`, and of each section's first and last argument.
local function read(arguments)
  local head = cmsgpack.unpack(arguments[1])
  local request = {
    arguments = arguments, version = head[1], positions = head[2], tally = head[4], unparked = head[5],
    redriven = head[6], content = head[7], ordinals_end = head[8],
  }
  local first = 2
  for i, name in ipairs(SECTIONS) do
    local last = first + head[3][i] - 1
    request[name] = {first = first, last = last}
    first = last + 1
  end
  return request
end

-- Calls `use` for each block of a section: `width` arguments, then a count, then as many as it says. `use` gets the
-- place of the block, and those of the first and the last argument after the count.
local function each_block(request, section, width, use)
  local i, last = request[section].first, request[section].last
  while i <= last do
    local first = i + width + 1
    local stop = first + request.arguments[i + width] - 1
    use(i, first, stop)
    i = stop + 1
  end
end

return {read = read, each_block = each_block}
