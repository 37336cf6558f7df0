import stopwatch

rounds = stopwatch.amount(40000)


def answer_pipe(gate, connection, n):
    gate.arrive()
    for _ in range(n):
        connection.send(connection.recv())


def answer_queues(gate, there, back, n):
    gate.arrive()
    for _ in range(n):
        back.put(there.get())


def over_pipe():
    gate = stopwatch.Gate()
    mine, theirs = stopwatch.mp.Pipe()
    worker = stopwatch.start(answer_pipe, gate, theirs, rounds)
    start = gate.open(1)
    for i in range(rounds):
        mine.send(i)
        if mine.recv() != i:
            raise AssertionError("another number came back")
    stopwatch.report("pingpong_pipe", rounds / (stopwatch.now() - start))
    stopwatch.join([worker])


def over_queues():
    gate = stopwatch.Gate()
    there, back = stopwatch.mp.Queue(), stopwatch.mp.Queue()
    worker = stopwatch.start(answer_queues, gate, there, back, rounds)
    start = gate.open(1)
    for i in range(rounds):
        there.put(i)
        if back.get() != i:
            raise AssertionError("another number came back")
    stopwatch.report("pingpong_queues", rounds / (stopwatch.now() - start))
    stopwatch.join([worker])


over_pipe()
over_queues()
