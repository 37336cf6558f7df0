-- Shows:  the same function over many inputs: in order, as it comes, and one call by itself
-- Run:    lua5.4 examples/04_pool_map.lua
-- Prints: 1 4 9 16 25 36 49 64 | 1 to 8 squared add up to 204 | 2^10 = 1024
local mp = require "multiprocessing"

local function square(n) return n * n end

local pool <close> = mp.Pool(2)

print(table.concat(pool:map(square, mp.range(1, 9)), " "))

local sum = 0
for _, squared in pool:imap_unordered(square, mp.range(1, 9)) do
  sum = sum + squared
end
print("1 to 8 squared add up to " .. sum)

local power = pool:apply_async(function(base, n) return base ^ n end, {2, 10})
print(("2^10 = %d"):format(power:get()))
