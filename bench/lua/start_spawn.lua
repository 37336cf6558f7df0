-- Start one worker in a fresh interpreter, join it: mean milliseconds of 30 after 1.
local stopwatch = require "stopwatch"

local function nothing() end

local function has_spawn(mp)
  for _, method in ipairs(mp.get_all_start_methods()) do
    if method == "spawn" then return true end
  end
end

stopwatch.measure("start_spawn", "Process get_context get_all_start_methods", function(mp)
  if not has_spawn(mp) then return stopwatch.report_absent("start_spawn", "spawn") end
  local context = mp.get_context("spawn")
  local function start_and_join()
    stopwatch.join {stopwatch.start(context, nothing)}
  end
  start_and_join()
  local n = stopwatch.amount(30)
  local start = stopwatch.now()
  for _ = 1, n do start_and_join() end
  stopwatch.report("start_spawn", (stopwatch.now() - start) / n * 1e3)
end)
