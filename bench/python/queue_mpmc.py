import stopwatch


def produce(gate, queue, messages):
    gate.arrive()
    for i in range(messages):
        queue.put(i)


def consume(gate, queue, counts):
    gate.arrive()
    count = 0
    while queue.get() is not None:
        count += 1
    counts.put(count)


messages = stopwatch.amount(200000) // 2
gate, queue, counts = stopwatch.Gate(), stopwatch.mp.Queue(1000), stopwatch.mp.Queue()
consumers = [stopwatch.start(consume, gate, queue, counts) for _ in range(2)]
producers = [stopwatch.start(produce, gate, queue, messages) for _ in range(2)]
start = gate.open(4)
stopwatch.join(producers)
queue.put(None)
queue.put(None)
stopwatch.join(consumers)
spent = stopwatch.now() - start
assert counts.get() + counts.get() == 2 * messages, "the count is wrong"
stopwatch.report("queue_mpmc", 2 * messages / spent)
