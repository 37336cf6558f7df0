from itertools import repeat

import stopwatch

n = stopwatch.amount(2000000)


def measure_access(value, suffix):
    start = stopwatch.now()
    for _ in repeat(None, n):
        number = value.value
    stopwatch.report("value_read" + suffix, (stopwatch.now() - start) / n * 1e9)
    assert number == 1.5
    start = stopwatch.now()
    for _ in repeat(None, n):
        value.value = number
    stopwatch.report("value_write" + suffix, (stopwatch.now() - start) / n * 1e9)


measure_access(stopwatch.mp.Value("d", 1.5), "")
measure_access(stopwatch.mp.RawValue("d", 1.5), "_raw")
