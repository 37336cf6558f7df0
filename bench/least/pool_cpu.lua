-- The same primes by forked copies that share the ranges out beforehand: each takes every nth one.
local stopwatch = require "stopwatch"
local least = require "least"

local RANGES <const> = 64
local LIMIT <const> = 200000

local function is_prime(n)
  if n < 2 then return false end
  local divisor = 2
  while divisor * divisor <= n do
    if n % divisor == 0 then return false end
    divisor = divisor + 1
  end
  return true
end

local function count_primes(first)
  local count = 0
  for n = first, first + LIMIT // RANGES - 1 do
    if is_prime(n) then count = count + 1 end
  end
  return count
end

local function work(gate, sum, mine, workers)
  gate:acquire()
  gate:release()
  for range = mine, RANGES, workers do
    sum.value = sum.value + count_primes((range - 1) * (LIMIT // RANGES))
  end
  least.exit()
end

local function measure_with(workers)
  local gate, pids, sums, primes = least.lock(), {}, {}, 0
  gate:acquire()
  for i = 1, workers do
    sums[i] = least.number()
    pids[i] = least.fork()
    if pids[i] == 0 then work(gate, sums[i], i, workers) end
  end
  local start = stopwatch.now()
  gate:release()
  for i = 1, workers do
    least.wait(pids[i])
    primes = primes + sums[i].value
  end
  stopwatch.report("pool_cpu_" .. workers, (stopwatch.now() - start) * 1e3)
  assert(primes == 17984, "the number of primes is wrong")
end

measure_with(1)
measure_with(2)
