import stopwatch

RANGES = 64
LIMIT = 200000


def is_prime(n):
    if n < 2:
        return False
    divisor = 2
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 1
    return True


def count_primes(first):
    count = 0
    for n in range(first, first + LIMIT // RANGES):
        if is_prime(n):
            count += 1
    return count


def measure_with(workers):
    with stopwatch.mp.Pool(workers) as pool:
        pool.map(is_prime, range(8), 1)
        start = stopwatch.now()
        total = sum(pool.map(count_primes, range(0, LIMIT, LIMIT // RANGES), 1))
        stopwatch.report(f"pool_cpu_{workers}", (stopwatch.now() - start) * 1e3)
        assert total == 17984, "the number of primes is wrong"


measure_with(1)
measure_with(2)
