from itertools import repeat

import stopwatch


def methods(lock, n):
    start = stopwatch.now()
    for _ in repeat(None, n):
        lock.acquire()
        lock.release()
    return (stopwatch.now() - start) / n * 1e9


def functions(lock, n):
    acquire, release = lock.acquire, lock.release
    start = stopwatch.now()
    for _ in repeat(None, n):
        acquire()
        release()
    return (stopwatch.now() - start) / n * 1e9


lock, n = stopwatch.mp.Lock(), stopwatch.amount(2000000)
stopwatch.report("lock_methods", methods(lock, n))
stopwatch.report("lock_locals", functions(lock, n))
