"""One producer process, the parent consumes, until it has the last message: messages a second."""
import stopwatch


def produce(gate, queue, messages, make):
    gate.arrive()
    for i in range(messages):
        queue.put(make(i))


def one_to_one(maxsize, messages, make):
    gate, queue = stopwatch.Gate(), stopwatch.mp.Queue(maxsize)
    producer = stopwatch.start(produce, gate, queue, messages, make)
    start = gate.open(1)
    for _ in range(messages):
        queue.get()
    spent = stopwatch.now() - start
    stopwatch.join([producer])
    return messages / spent
