import stopwatch


def same(x):
    return x


n = stopwatch.amount(20000)
with stopwatch.mp.Pool(2) as pool:
    pool.map(same, range(8), 1)
    start = stopwatch.now()
    results = [pool.apply_async(same, (i,)) for i in range(n)]
    results = [result.get() for result in results]
    stopwatch.report("pool_apply_async", n / (stopwatch.now() - start))
    assert results == list(range(n))
