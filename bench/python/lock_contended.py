import stopwatch

WORKERS = 4
additions = stopwatch.amount(100000)


def add_locked(gate, lock, counter, n):
    gate.arrive()
    for _ in range(n):
        lock.acquire()
        counter.value += 1
        lock.release()


def contend(metric, lock, counter):
    gate = stopwatch.Gate()
    workers = [stopwatch.start(add_locked, gate, lock, counter, additions) for _ in range(WORKERS)]
    start = gate.open(WORKERS)
    stopwatch.join(workers)
    spent = stopwatch.now() - start
    assert counter.value == WORKERS * additions, "the counter is wrong"
    stopwatch.report(metric, WORKERS * additions / spent)


contend("lock_contended", stopwatch.mp.Lock(), stopwatch.mp.RawValue("q", 0))
counter = stopwatch.mp.Value("q", 0)
contend("lock_contended_value", counter.get_lock(), counter)
