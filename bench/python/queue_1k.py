import stopwatch
from one_to_one import one_to_one

text = b"x" * 1024


def make(_):
    return text


stopwatch.report("queue_1k", one_to_one(1000, stopwatch.amount(100000), make))
