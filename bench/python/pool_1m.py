import stopwatch

MIB = 1 << 20


def length(text):
    return len(text)


n = stopwatch.amount(1000)
with stopwatch.mp.Pool(2) as pool:
    pool.map(length, [b""] * 8, 1)
    texts = [b"x" * MIB] * n
    start = stopwatch.now()
    lengths = pool.map(length, texts, 1)
    stopwatch.report("pool_1m", n * MIB / 1e6 / (stopwatch.now() - start))
    assert lengths == [MIB] * n
