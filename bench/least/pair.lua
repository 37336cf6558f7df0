-- A pair of methods that check their userdata's type and do nothing else; `lock`: with a lock of one
-- word, and four processes that add to one number under it.
local stopwatch = require "stopwatch"
local least = require "least"

local WORKERS <const> = 4

local function measure_pair(lock, n)
  local start = stopwatch.now()
  for _ = 1, n do
    lock:acquire()
    lock:release()
  end
  stopwatch.report("lock_methods", stopwatch.nanoseconds(stopwatch.now() - start, n))
  local acquire, release = lock.acquire, lock.release
  start = stopwatch.now()
  for _ = 1, n do
    acquire(lock)
    release(lock)
  end
  stopwatch.report("lock_locals", stopwatch.nanoseconds(stopwatch.now() - start, n))
end

local function add(lock, number, n)
  for _ = 1, n do
    lock:acquire()
    number.value = number.value + 1
    lock:release()
  end
end

local function contend(n)
  local lock, number, pids = least.lock(), least.number(), {}
  lock:acquire()
  for i = 1, WORKERS do
    pids[i] = least.fork()
    if pids[i] == 0 then
      add(lock, number, n)
      least.exit()
    end
  end
  local start = stopwatch.now()
  lock:release()
  for _, pid in ipairs(pids) do least.wait(pid) end
  stopwatch.report("lock_contended", WORKERS * n / (stopwatch.now() - start))
  assert(number.value == WORKERS * n, "the number is wrong")
end

measure_pair(least[arg[1]](), stopwatch.amount(2000000))
if arg[1] == "lock" then contend(stopwatch.amount(100000)) end
