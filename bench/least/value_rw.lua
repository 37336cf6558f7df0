-- The field of a userdata that stands for a double in shared memory.
local stopwatch = require "stopwatch"
local least = require "least"

local n, value = stopwatch.amount(2000000), least.number()
value.value = 1.5
local start, number = stopwatch.now(), 0.0
for _ = 1, n do number = value.value end
stopwatch.report("value_read_raw", stopwatch.nanoseconds(stopwatch.now() - start, n))
assert(number == 1.5)
start = stopwatch.now()
for _ = 1, n do value.value = number end
stopwatch.report("value_write_raw", stopwatch.nanoseconds(stopwatch.now() - start, n))
