-- Count the primes below 200 000 by trial division, 64 equal ranges, chunks of one: milliseconds with
-- 1 worker and with 2.
local primes = require "primes"
local stopwatch = require "stopwatch"

local function measure_with(mp, workers)
  local pool <close> = mp.Pool(workers)
  pool:map(primes.is_prime, mp.range(8), 1)
  local start, sum = stopwatch.now(), 0
  for _, count in ipairs(pool:map(primes.count, mp.range(0, primes.LIMIT, primes.WIDTH), 1)) do
    sum = sum + count
  end
  stopwatch.report("pool_cpu_" .. workers, (stopwatch.now() - start) * 1e3)
  assert(sum == primes.COUNT, "the number of primes is wrong")
end

stopwatch.measure("pool_cpu_1 pool_cpu_2", "Pool range", function(mp)
  measure_with(mp, 1)
  measure_with(mp, 2)
end)
