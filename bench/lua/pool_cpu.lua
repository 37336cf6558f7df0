-- Count the primes below 200 000 by trial division, 64 equal ranges, chunks of one: milliseconds with
-- 1 worker and with 2.
local stopwatch = require "stopwatch"

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

local function measure_with(mp, workers)
  local pool <close> = mp.Pool(workers)
  pool:map(is_prime, mp.range(8), 1)
  local start, sum = stopwatch.now(), 0
  for _, count in ipairs(pool:map(count_primes, mp.range(0, LIMIT, LIMIT // RANGES), 1)) do
    sum = sum + count
  end
  stopwatch.report("pool_cpu_" .. workers, (stopwatch.now() - start) * 1e3)
  assert(sum == 17984, "the number of primes is wrong")
end

stopwatch.measure("pool_cpu_1 pool_cpu_2", "Pool range", function(mp)
  measure_with(mp, 1)
  measure_with(mp, 2)
end)
