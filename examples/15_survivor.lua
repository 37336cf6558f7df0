-- Shows:  a job whose workers are killed again and again, and which ends with every result right
-- Run:    lua5.4 examples/15_survivor.lua
-- Prints: 200 results, all right | workers were lost on the way
local mp = require "multiprocessing"

local function work(n)
  mp.sleep(0.002)
  return n * n, mp.getpid()
end

local pool <close> = mp.Pool(2)
local results = {}
for n = 1, 200 do
  results[n] = pool:apply_async{func = work, args = {n}, retries = 100}
end

-- Somebody kills a worker now and then.
for n = 1, 150, 30 do
  local _, pid = results[n]:get()
  os.execute("kill -9 " .. pid .. " 2>/dev/null")
end

for n = 1, 200 do assert(results[n]:get() == n * n) end
print("200 results, all right")
if pool:stats().lost > 0 then print("workers were lost on the way") end
