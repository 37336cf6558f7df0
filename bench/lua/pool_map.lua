-- 100 000 no-op tasks over 2 workers in 8 chunks, results in order: tasks a second.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_map", "Pool range", function(mp)
  local n = stopwatch.amount(100000)
  local numbers = mp.range(1, n + 1)
  local pool <close> = mp.Pool(2)
  pool:map(same, mp.range(8), 1)
  local start = stopwatch.now()
  local results = pool:map(same, numbers, (n + 7) // 8)
  stopwatch.report("pool_map", n / (stopwatch.now() - start))
  for i = 1, n do assert(results[i] == i) end
end)
