import stopwatch


def same(x):
    return x


n = stopwatch.amount(3000)
with stopwatch.mp.Pool(2) as pool:
    pool.map(same, range(8), 1)
    start = stopwatch.now()
    for i in range(n):
        assert pool.apply(same, (i,)) == i
    stopwatch.report("pool_apply", (stopwatch.now() - start) / n * 1e6)
