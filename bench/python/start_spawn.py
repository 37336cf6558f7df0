import multiprocessing

import stopwatch


def nothing():
    pass


def start_and_join(context):
    process = context.Process(target=nothing)
    process.start()
    process.join()
    assert process.exitcode == 0, "a worker failed"


if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    start_and_join(spawn)
    n = stopwatch.amount(30)
    start = stopwatch.now()
    for _ in range(n):
        start_and_join(spawn)
    stopwatch.report("start_spawn", (stopwatch.now() - start) / n * 1e3)
