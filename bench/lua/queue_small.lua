-- 200 000 integers through a queue bounded to 1000, and through one without a bound.
local stopwatch = require "stopwatch"
local one_to_one = require "one_to_one"

local function make(i) return i end

stopwatch.measure("queue_small queue_small_unbounded", "Process Semaphore Queue", function(mp)
  local messages = stopwatch.amount(200000)
  stopwatch.report("queue_small", one_to_one(mp, 1000, messages, make))
  stopwatch.report("queue_small_unbounded", one_to_one(mp, 0, messages, make))
end)
