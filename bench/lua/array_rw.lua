-- One read or one write of an element of a shared array of 1000 doubles: nanoseconds; with its lock,
-- and without one.
local stopwatch = require "stopwatch"

local n = stopwatch.amount(2000000)

local function measure_access(array, suffix)
  array[500] = 1.5
  local start, number = stopwatch.now(), 0.0
  for _ = 1, n do number = array[500] end
  stopwatch.report("array_read" .. suffix, stopwatch.nanoseconds(stopwatch.now() - start, n))
  assert(number == 1.5)
  start = stopwatch.now()
  for _ = 1, n do array[500] = number end
  stopwatch.report("array_write" .. suffix, stopwatch.nanoseconds(stopwatch.now() - start, n))
end

stopwatch.measure("array_read array_write", "Array", function(mp)
  measure_access(mp.Array("d", 1000), "")
end)
stopwatch.measure("array_read_raw array_write_raw", "RawArray", function(mp)
  measure_access(mp.RawArray("d", 1000), "_raw")
end)
