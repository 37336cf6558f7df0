import stopwatch


def same(x):
    return x


n = stopwatch.amount(100000)
numbers = list(range(1, n + 1))
with stopwatch.mp.Pool(2) as pool:
    pool.map(same, range(8), 1)
    start = stopwatch.now()
    results = pool.map(same, numbers, (n + 7) // 8)
    stopwatch.report("pool_map", n / (stopwatch.now() - start))
    assert results == numbers
