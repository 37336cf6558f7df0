-- 4 processes, each adds 1 to one shared counter 100 000 times under the lock, until all are joined:
-- additions a second; a raw counter beside a Lock, a Value under its own lock, and `add`.
local stopwatch = require "stopwatch"

local WORKERS <const> = 4
local additions = stopwatch.amount(100000)

local function add_locked(gate, lock, counter, n)
  stopwatch.arrive(gate)
  for _ = 1, n do
    lock:acquire()
    counter.value = counter.value + 1
    lock:release()
  end
end

local function add_at_once(gate, _, counter, n)
  stopwatch.arrive(gate)
  for _ = 1, n do counter:add(1) end
end

local function contend(mp, metric, work, lock, counter)
  local gate, workers = stopwatch.gate(mp), {}
  for i = 1, WORKERS do
    workers[i] = stopwatch.start(mp, work, gate, lock, counter, additions)
  end
  local start = stopwatch.open(gate, WORKERS)
  stopwatch.join(workers)
  local spent = stopwatch.now() - start
  assert(counter.value == WORKERS * additions, "the counter is wrong")
  stopwatch.report(metric, WORKERS * additions / spent)
end

stopwatch.measure("lock_contended", "Process Semaphore Lock RawValue", function(mp)
  contend(mp, "lock_contended", add_locked, mp.Lock(), mp.RawValue("q", 0))
end)
stopwatch.measure("lock_contended_value lock_contended_add", "Process Semaphore Value", function(mp)
  local counter = mp.Value("q", 0)
  contend(mp, "lock_contended_value", add_locked, counter:get_lock(), counter)
  counter.value = 0
  contend(mp, "lock_contended_add", add_at_once, nil, counter)
end)
