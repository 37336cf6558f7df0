import concurrent.futures

import stopwatch


def same(x):
    return x


n = stopwatch.amount(20000)
with concurrent.futures.ProcessPoolExecutor(2, mp_context=stopwatch.mp) as executor:
    concurrent.futures.wait([executor.submit(same, i) for i in range(8)])
    start = stopwatch.now()
    results = [executor.submit(same, i) for i in range(n)]
    results = [result.result() for result in results]
    stopwatch.report("pool_submit", n / (stopwatch.now() - start))
    assert results == list(range(n))
