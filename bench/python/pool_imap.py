import stopwatch


def same(x):
    return x


n = stopwatch.amount(20000)
numbers = list(range(1, n + 1))
with stopwatch.mp.Pool(2) as pool:
    pool.map(same, range(8), 1)
    start, total = stopwatch.now(), 0
    for value in pool.imap(same, numbers, 1):
        total += value
    stopwatch.report("pool_imap", n / (stopwatch.now() - start))
    assert total == n * (n + 1) // 2
