-- Acquire and release a lock that nobody else wants: nanoseconds a pair, as methods, and with the
-- functions kept in locals.
local stopwatch = require "stopwatch"

stopwatch.measure("lock_methods lock_locals", "Lock", function(mp)
  local n, lock = stopwatch.amount(2000000), mp.Lock()
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
end)
