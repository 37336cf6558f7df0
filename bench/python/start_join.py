import stopwatch


def nothing():
    pass


def start_and_join():
    process = stopwatch.mp.Process(target=nothing)
    process.start()
    process.join()


for _ in range(5):
    start_and_join()
n = stopwatch.amount(300)
start = stopwatch.now()
for _ in range(n):
    start_and_join()
stopwatch.report("start_join", (stopwatch.now() - start) / n * 1e6)
