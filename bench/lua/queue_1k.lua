-- 100 000 strings of 1024 bytes through a queue bounded to 1000.
local stopwatch = require "stopwatch"
local one_to_one = require "one_to_one"

local text = ("x"):rep(1024)

local function make() return text end

stopwatch.measure("queue_1k", "Process Semaphore Queue", function(mp)
  stopwatch.report("queue_1k", one_to_one(mp, 1000, stopwatch.amount(100000), make))
end)
