-- 100 000 small tables, each made anew, through a queue bounded to 1000.
local stopwatch = require "stopwatch"
local one_to_one = require "one_to_one"

local function make(i)
  return {id = i, name = "item", values = {1, 2, 3, 4, 5}}
end

stopwatch.measure("queue_table", "Process Semaphore Queue", function(mp)
  stopwatch.report("queue_table", one_to_one(mp, 1000, stopwatch.amount(100000), make))
end)
