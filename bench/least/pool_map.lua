-- The plain loop.
local stopwatch = require "stopwatch"

local function same(x) return x end

local n, numbers, results = stopwatch.amount(100000), {}, {}
for i = 1, n do numbers[i] = i end
local start = stopwatch.now()
for i = 1, n do results[i] = same(numbers[i]) end
stopwatch.report("pool_map", n / (stopwatch.now() - start))
assert(results[n] == n)
