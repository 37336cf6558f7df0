import stopwatch
from one_to_one import one_to_one

text = b"x" * (1 << 20)


def make(_):
    return text


rate = one_to_one(1000, stopwatch.amount(300), make)
stopwatch.report("queue_1m", rate * len(text) / 1e6)
