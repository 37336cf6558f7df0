import stopwatch

KEYS = 10000
operations = stopwatch.amount(10000)
keys = [f"key{i:05d}" for i in range(1, KEYS + 1)]


def set_all(shared, value, first, count):
    for i in range(first, first + count):
        shared[keys[i % KEYS]] = value


def get_all(shared, value, first, count):
    for i in range(first, first + count):
        assert shared[keys[i % KEYS]] == value, "another value"


def split(gate, work, shared, value, first, count):
    gate.arrive()
    work(shared, value, first, count)


def from_one(metric, work, shared, value):
    start = stopwatch.now()
    work(shared, value, 0, operations)
    stopwatch.report(metric, operations / (stopwatch.now() - start))


def from_four(metric, work, shared, value):
    gate, each = stopwatch.Gate(), operations // 4
    workers = [stopwatch.start(split, gate, work, shared, value, i * 2500, each) for i in range(4)]
    start = gate.open(4)
    stopwatch.join(workers)
    stopwatch.report(metric, 4 * each / (stopwatch.now() - start))


def measure_with(suffix, value):
    with stopwatch.mp.Manager() as manager:
        shared = manager.dict()
        shared.update({key: value for key in keys})
        from_one("dict_set" + suffix, set_all, shared, value)
        from_one("dict_get" + suffix, get_all, shared, value)
        from_four("dict_set_4p" + suffix, set_all, shared, value)
        from_four("dict_get_4p" + suffix, get_all, shared, value)


measure_with("", 7)
measure_with("_table", {"id": 1, "name": "item", "values": [1, 2, 3, 4, 5]})
