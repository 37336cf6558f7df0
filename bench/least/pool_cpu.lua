-- The same primes by forked copies that share the ranges out beforehand: each takes every nth one.
local least = require "least"
local primes = require "primes"
local stopwatch = require "stopwatch"

local function work(gate, sum, mine, workers)
  gate:acquire()
  gate:release()
  for first = mine * primes.WIDTH, primes.LIMIT - 1, workers * primes.WIDTH do
    sum.value = sum.value + primes.count(first)
  end
  least.exit()
end

local function measure_with(workers)
  local gate, pids, sums, count = least.lock(), {}, {}, 0
  gate:acquire()
  for i = 1, workers do
    sums[i] = least.number()
    pids[i] = least.fork()
    if pids[i] == 0 then work(gate, sums[i], i - 1, workers) end
  end
  local start = stopwatch.now()
  gate:release()
  for i = 1, workers do
    least.wait(pids[i])
    count = count + sums[i].value
  end
  stopwatch.report("pool_cpu_" .. workers, (stopwatch.now() - start) * 1e3)
  assert(count == primes.COUNT, "the number of primes is wrong")
end

measure_with(1)
measure_with(2)
