-- Put in front of commit.lua, which writes bitmaps, and of the API's scripts, which read them.
--
-- Each listed group has an ordinal in its shard. A bitmap has a bit for each ordinal, the first group's being the
-- highest bit of the first byte, as SETBIT has it:
--   bits:all                 the listed groups
--   bits:of:<field>:<value>  those in the sorted set of:<field>:<value>, once that has been large
--   bits:by:<field>:<k>      those of whose bucket the k-th bit is set, from 0: the lowest. All together are the slices
--                            of a field (O'Neil and Quass, "Improved Query Performance with Variant Indexes", 1997)
--   bits:by:id:<k>           slices of ids: those that differ in the k-th of 8 * ID_BYTES bits, the last being the
--                            highest of the first byte, from the reference, which is the id of the ordinal 0
-- A bucket is a whole number that never falls where the score of by:<field> rises. api/slices.lua knows where each begins.
-- An id has no score. Of it the first byte counts that differs from the reference, and those after it in a window, which
-- reaches beyond the milliseconds that usual ids begin with: that is little to write, and nothing where all ids begin
-- alike. Ids that agree in all higher slices have the same window, so their order is that of their bytes; where it is not
-- decided there, they are alike.

-- Slices of each field: its buckets are below 2^n.
local SLICES = {created_at = 49, updated_at = 49, total = 44, seller_count = 10, display_id = 53}

local ID_BYTES, ID_WINDOW = 32, 12

-- The slices that have the bit of an id. A byte beyond the end is 0.
local function slices_of_id(id, reference)
  local own, others = {string.byte(id, 1, ID_BYTES)}, {string.byte(reference, 1, ID_BYTES)}
  local first = 1
  while first <= ID_BYTES and (own[first] or 0) == (others[first] or 0) do
    first = first + 1
  end
  local found, n = {}, 0
  for i = first, math.min(first + ID_WINDOW - 1, ID_BYTES) do
    local left, k = bit.bxor(own[i] or 0, others[i] or 0), 8 * (ID_BYTES - i)
    while left > 0 do
      local odd = left % 2
      if odd == 1 then
        n = n + 1
        found[n] = k
      end
      left, k = (left - odd) / 2, k + 1
    end
  end
  return found
end

local function clipped(bucket, slices)
  return math.max(0, math.min(math.floor(bucket), 2 ^ slices - 1))
end

-- Each of these rounds down first: a sum may be rounded up.

-- Milliseconds since the year 1.
local function time(ms)
  return clipped(math.floor(ms) + 62135596800000, 49)
end

-- 2^36 buckets from each power of two to the next, from 2^-21 on, on both sides of 0: of amounts below a billion with two
-- places, each has one to itself.
local function steps(amount)
  if amount == 0 then
    return 2 ^ 43
  end
  local mantissa, exponent = math.frexp(math.abs(amount))
  local step = clipped((exponent + 20) * 2 ^ 36 + math.floor((mantissa - 0.5) * 2 ^ 37), 43)
  return amount > 0 and 2 ^ 43 + step or 2 ^ 43 - 1 - step
end

-- Each number from -2^49 to 2^51 has a bucket to itself; those beyond share one by sixteens, or by eights.
local function number(id)
  id = math.floor(id)
  if id < -2 ^ 49 then
    id = -2 ^ 49 + math.floor((id + 2 ^ 49) / 16)
  elseif id > 2 ^ 51 then
    id = 2 ^ 51 + math.floor((id - 2 ^ 51) / 8)
  end
  return clipped(2 ^ 50 + id, 52)
end

local BUCKET = {
  created_at = time,
  updated_at = time,
  total = steps,
  seller_count = function(sellers) return clipped(sellers, 10) end,
  -- Without one the score is infinite: the highest bit is for those alone.
  display_id = function(id) return id == math.huge and 2 ^ 52 or number(id) end,
}
