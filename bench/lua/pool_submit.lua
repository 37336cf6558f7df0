-- 20 000 no-op tasks submitted to an executor one by one, then all results: tasks a second.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_submit", "futures", function(mp)
  local n, results = stopwatch.amount(20000), {}
  local executor <close> = mp.futures.ProcessPoolExecutor(2)
  for i = 1, 8 do results[i] = executor:submit(same, i) end
  mp.futures.wait(results)
  local start = stopwatch.now()
  for i = 1, n do results[i] = executor:submit(same, i) end
  for i = 1, n do results[i] = results[i]:result() end
  stopwatch.report("pool_submit", n / (stopwatch.now() - start))
  for i = 1, n do assert(results[i] == i) end
end)
