-- One read or one write of a shared double: nanoseconds; with its lock, and without one.
local stopwatch = require "stopwatch"

local n = stopwatch.amount(2000000)

local function measure_access(value, suffix)
  local start, number = stopwatch.now(), 0.0
  for _ = 1, n do number = value.value end
  stopwatch.report("value_read" .. suffix, stopwatch.nanoseconds(stopwatch.now() - start, n))
  assert(number == 1.5)
  start = stopwatch.now()
  for _ = 1, n do value.value = number end
  stopwatch.report("value_write" .. suffix, stopwatch.nanoseconds(stopwatch.now() - start, n))
end

stopwatch.measure("value_read value_write", "Value", function(mp)
  measure_access(mp.Value("d", 1.5), "")
end)
stopwatch.measure("value_read_raw value_write_raw", "RawValue", function(mp)
  measure_access(mp.RawValue("d", 1.5), "_raw")
end)
