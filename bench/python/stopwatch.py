"""What every program of this folder shares: see bench/lua/stopwatch.lua, its twin.

The processes are forked, as ours are, whatever this version's own start method is.
"""
import multiprocessing
import os
import time

mp = multiprocessing.get_context("fork")
now = time.perf_counter
scale = float(os.environ.get("BENCH_SCALE", "1"))


def amount(whole):
    return max(1, int(whole * scale))


def report(metric, value):
    print(f"{metric} {value:.6g}", flush=True)


class Gate:
    def __init__(self):
        self.ready = mp.Semaphore(0)
        self.opened = mp.Semaphore(0)

    def arrive(self):
        self.ready.release()
        self.opened.acquire()

    def open(self, workers):
        for _ in range(workers):
            self.ready.acquire()
        start = now()
        for _ in range(workers):
            self.opened.release()
        return start


def start(work, *args):
    process = mp.Process(target=work, args=args)
    process.start()
    return process


def join(processes):
    for process in processes:
        process.join()
        assert process.exitcode == 0, "a worker failed"
