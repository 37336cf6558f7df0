-- 20 000 no-op tasks submitted one by one, then all results: tasks a second.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_apply_async", "Pool range", function(mp)
  local n, results = stopwatch.amount(20000), {}
  local pool <close> = mp.Pool(2)
  pool:map(same, mp.range(8), 1)
  local start = stopwatch.now()
  for i = 1, n do results[i] = pool:apply_async(same, {i}) end
  for i = 1, n do results[i] = results[i]:get() end
  stopwatch.report("pool_apply_async", n / (stopwatch.now() - start))
  for i = 1, n do assert(results[i] == i) end
end)
