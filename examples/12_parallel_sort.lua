-- Shows:  a parallel sort: workers sort slices, the parent merges them
-- Run:    lua5.4 examples/12_parallel_sort.lua
-- Prints: 40000 numbers in order
local mp = require "multiprocessing"

local function sorted(list)
  table.sort(list)
  return list
end

local function slices(list, count)
  local parts, size = {}, (#list + count - 1) // count
  for i = 1, #list, size do
    parts[#parts + 1] = table.move(list, i, math.min(i + size - 1, #list), 1, {})
  end
  return parts
end

local function merged(a, b)
  local list, i, j = {}, 1, 1
  for n = 1, #a + #b do
    if j > #b or (i <= #a and a[i] <= b[j]) then
      list[n], i = a[i], i + 1
    else
      list[n], j = b[j], j + 1
    end
  end
  return list
end

local numbers = {}
for i = 1, 40000 do numbers[i] = math.random(1000000) end

local pool <close> = mp.Pool(4)
local result = {}
for _, slice in pool:imap_unordered(sorted, slices(numbers, 4)) do
  result = merged(result, slice)
end

for i = 2, #result do assert(result[i - 1] <= result[i]) end
print(#result .. " numbers in order")
