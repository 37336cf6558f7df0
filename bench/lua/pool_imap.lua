-- 20 000 no-op tasks in chunks of one, results in order as they come: tasks a second.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_imap", "Pool range", function(mp)
  local n = stopwatch.amount(20000)
  local numbers = mp.range(1, n + 1)
  local pool <close> = mp.Pool(2)
  pool:map(same, mp.range(8), 1)
  local start, sum = stopwatch.now(), 0
  for _, value in pool:imap(same, numbers, 1) do sum = sum + value end
  stopwatch.report("pool_imap", n / (stopwatch.now() - start))
  assert(sum == n * (n + 1) // 2)
end)
