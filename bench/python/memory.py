import re

import stopwatch

WORKERS = 8


def idle(gate):
    gate.arrive()


def proportional_size(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"Pss:\s*(\d+) kB", file.read()).group(1))


gate = stopwatch.Gate()
workers = [stopwatch.start(idle, gate) for _ in range(WORKERS)]
for _ in range(WORKERS):
    gate.ready.acquire()
total = sum(proportional_size(worker.pid) for worker in workers)
for _ in range(WORKERS):
    gate.opened.release()
stopwatch.join(workers)
stopwatch.report("memory", total / WORKERS)
