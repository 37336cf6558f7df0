import stopwatch


def same(x):
    return x


def make_and_end(i):
    with stopwatch.mp.Pool(2) as pool:
        assert pool.apply(same, (i,)) == i
    pool.join()


for i in range(3):
    make_and_end(i)
n = stopwatch.amount(60)
start = stopwatch.now()
for i in range(n):
    make_and_end(i)
stopwatch.report("pool_start", (stopwatch.now() - start) / n * 1e6)
