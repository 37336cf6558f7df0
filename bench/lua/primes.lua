--- The work of pool_cpu: the primes below a limit by trial division, in ranges of equal width.

local primes = {LIMIT = 200000, WIDTH = 200000 // 64, COUNT = 17984}

local WIDTH <const> = primes.WIDTH

local function is_prime(n)
  if n < 2 then return false end
  local divisor = 2
  while divisor * divisor <= n do
    if n % divisor == 0 then return false end
    divisor = divisor + 1
  end
  return true
end

--- How many there are in the range that begins there.
function primes.count(first)
  local count = 0
  for n = first, first + WIDTH - 1 do
    if is_prime(n) then count = count + 1 end
  end
  return count
end

primes.is_prime = is_prime

return primes
