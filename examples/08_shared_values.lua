-- Shows:  a shared number that four processes count up, and a shared array that they fill
-- Run:    lua5.4 examples/08_shared_values.lua
-- Prints: counted to 4000 | 10 20 30 40
local mp = require "multiprocessing"

local function worker(index, counter, array)
  for _ = 1, 1000 do
    counter:add(1) -- one step: nothing can come between reading and writing
  end
  array[index] = index * 10
end

local counter, array = mp.Value("i", 0), mp.Array("d", 4)
local workers = {}
for i = 1, 4 do
  workers[i] = mp.Process{target = worker, args = {i, counter, array}}
  workers[i]:start()
end
for _, p in ipairs(workers) do p:join() end

print("counted to " .. counter.value)
print(("%.0f %.0f %.0f %.0f"):format(array[1], array[2], array[3], array[4]))
