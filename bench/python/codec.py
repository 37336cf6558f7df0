import pickle
from itertools import repeat

import stopwatch


def measure_value(metric, value, whole):
    n, encode, decode = stopwatch.amount(whole), pickle.dumps, pickle.loads
    start = stopwatch.now()
    for _ in repeat(None, n):
        back = decode(encode(value))
    stopwatch.report(metric, n / (stopwatch.now() - start))
    assert back == value


small = {"id": 12345, "name": "item", "values": [1, 2, 3, 4, 5]}
integers = [i * 7919 % 1000000 for i in range(1, 1001)]
nested = {
    f"branch{i}": {
        f"twig{j}": {f"leaf{k}": (i * 10 + j) * 10 + k for k in range(1, 11)} for j in range(1, 11)
    }
    for i in range(1, 11)
}
measure_value("codec_small", small, 300000)
measure_value("codec_ints", integers, 10000)
measure_value("codec_nested", nested, 3000)
