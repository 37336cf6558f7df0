from itertools import repeat

import stopwatch

n = stopwatch.amount(2000000)


def measure_access(array, suffix):
    array[500] = 1.5
    start = stopwatch.now()
    for _ in repeat(None, n):
        number = array[500]
    stopwatch.report("array_read" + suffix, (stopwatch.now() - start) / n * 1e9)
    assert number == 1.5
    start = stopwatch.now()
    for _ in repeat(None, n):
        array[500] = number
    stopwatch.report("array_write" + suffix, (stopwatch.now() - start) / n * 1e9)


measure_access(stopwatch.mp.Array("d", 1000), "")
measure_access(stopwatch.mp.RawArray("d", 1000), "_raw")
