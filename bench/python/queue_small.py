import stopwatch
from one_to_one import one_to_one


def make(i):
    return i


messages = stopwatch.amount(200000)
stopwatch.report("queue_small", one_to_one(1000, messages, make))
stopwatch.report("queue_small_unbounded", one_to_one(0, messages, make))
