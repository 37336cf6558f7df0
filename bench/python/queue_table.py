import stopwatch
from one_to_one import one_to_one


def make(i):
    return {"id": i, "name": "item", "values": [1, 2, 3, 4, 5]}


stopwatch.report("queue_table", one_to_one(1000, stopwatch.amount(100000), make))
