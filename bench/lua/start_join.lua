-- Start one worker whose function does nothing, join it: mean microseconds of 300 after 5.
local stopwatch = require "stopwatch"

local function nothing() end

stopwatch.measure("start_join", "Process", function(mp)
  local function start_and_join()
    local process = mp.Process {target = nothing}
    process:start()
    process:join()
  end
  for _ = 1, 5 do start_and_join() end
  local n = stopwatch.amount(300)
  local start = stopwatch.now()
  for _ = 1, n do start_and_join() end
  stopwatch.report("start_join", (stopwatch.now() - start) / n * 1e6)
end)
