-- A pool of 2 made, one task run by it, and ended: mean microseconds of 60 after 3.
local stopwatch = require "stopwatch"

local function same(x) return x end

stopwatch.measure("pool_start", "Pool", function(mp)
  local function make_and_end(i)
    local pool <close> = mp.Pool(2)
    assert(pool:apply(same, {i}) == i)
  end
  for i = 1, 3 do make_and_end(i) end
  local n = stopwatch.amount(60)
  local start = stopwatch.now()
  for i = 1, n do make_and_end(i) end
  stopwatch.report("pool_start", (stopwatch.now() - start) / n * 1e6)
end)
