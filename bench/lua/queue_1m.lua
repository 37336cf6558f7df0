-- 300 strings of 1 MiB through a queue bounded to 1000: megabytes (10^6) a second.
local stopwatch = require "stopwatch"
local one_to_one = require "one_to_one"

local text = ("x"):rep(1 << 20)

local function make() return text end

stopwatch.measure("queue_1m", "Process Semaphore Queue", function(mp)
  local rate = one_to_one(mp, 1000, stopwatch.amount(300), make)
  stopwatch.report("queue_1m", rate * #text / 1e6)
end)
