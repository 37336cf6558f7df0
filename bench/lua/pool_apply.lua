-- 3000 no-op tasks, one at a time: microseconds each.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_apply", "Pool range", function(mp)
  local n = stopwatch.amount(3000)
  local pool <close> = mp.Pool(2)
  pool:map(same, mp.range(8), 1)
  local start = stopwatch.now()
  for i = 1, n do assert(pool:apply(same, {i}) == i) end
  stopwatch.report("pool_apply", (stopwatch.now() - start) / n * 1e6)
end)
