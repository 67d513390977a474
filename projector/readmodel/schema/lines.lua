-- Put in front of commit.lua, which writes what `q` looks through, and of the scripts that read it.
--
-- text    hash        number of a chunk, from 0 -> LINES lines, those of the ordinals from LINES times that number on,
--                     each with END behind it; the last chunk has as many as there are
-- edited  sorted set  number of a chunk, scored by the last edit of a line in it: edits are numbered from 1 on, one for
--                     each commit that changes lines; to append some is no edit
--
-- A line is the casefolded id, 0xFE, and the casefolded customer id; it is empty where a group is not listed. Neither
-- END nor 0xFE occur in UTF-8, so that nothing is found across them.
local LINES, END = 128, '\255'

-- Where the line of an ordinal is: the number of its chunk, and its place in there, from 0.
local function line_of(ordinal)
  local place = ordinal % LINES
  return (ordinal - place) / LINES, place
end

local function split_lines(chunk)
  local lines = {}
  for line in string.gmatch(chunk, '([^' .. END .. ']*)' .. END) do
    lines[#lines + 1] = line
  end
  return lines
end
