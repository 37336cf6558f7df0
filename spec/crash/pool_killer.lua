-- Tasks with retries, while a killer kills a random worker every 50 ms: each task has one result, and
-- the right one.
--
--     TASKS=100000 WORKERS=4 lua5.4 spec/crash/pool_killer.lua
--
-- Each task works for about 200 µs, so that most kills hit one that runs. Prints what it counted. The
-- specs run it with fewer tasks.
local mp = require "multiprocessing"

local TASKS = math.tointeger(os.getenv "TASKS" or 100000)
local WORKERS = math.tointeger(os.getenv "WORKERS" or 4)
local EVERY, WORK, SHARE = 0.050, 200e-6, 2000

-- Works for a while; counts that it began, and gives a number that tells whose it is.
local function work(n, starts)
  starts:add(1)
  local stop = mp.monotonic() + WORK
  local sum = 0
  repeat
    for i = 1, 100 do sum = sum + i end
  until mp.monotonic() >= stop
  return n * 3 + 1, sum
end

local function children_of(pid)
  local list = {}
  local file <close> = io.open(("/proc/%d/task/%d/children"):format(pid, pid)) or -- not in each kernel
    assert(io.popen("ps -o pid= --ppid " .. pid))
  for child in file:read("a"):gmatch "%d+" do list[#list + 1] = child end
  return list
end

local function kill_on(supervisor, ended, kills)
  math.randomseed(tonumber(os.getenv "SEED" or 1))
  local next_one = mp.monotonic() + EVERY
  while not ended:wait(math.max(0, next_one - mp.monotonic())) do
    next_one = next_one + EVERY
    local workers = children_of(supervisor)
    if #workers > 0 and os.execute("kill -9 " .. workers[math.random(#workers)] .. " 2>/dev/null") then
      kills:add(1)
    end
  end
end

local ended, starts, kills = mp.Event(), mp.Value("q", 0), mp.Value("i", 0)
local pool = mp.Pool(WORKERS)
local supervisor = pool:apply(mp.getppid)
local killer = mp.Process {target = kill_on, args = {supervisor, ended, kills}, daemon = true}
killer:start()

local began = mp.monotonic()
local told, wrong, results = {}, 0, {}

-- One share of the tasks: all are in line or running at once.
local function share(first, last)
  for n = first, last do
    results[n] = pool:apply_async {func = work, args = {n, starts}, retries = 1000,
      callback = function() told[n] = (told[n] or 0) + 1 end}
  end
  for n = first, last do
    if results[n]:get(30) ~= n * 3 + 1 then wrong = wrong + 1 end
    results[n] = true
  end
end

for first = 1, TASKS, SHARE do share(first, math.min(first + SHARE - 1, TASKS)) end
pool:poll()
for n = 1, TASKS do
  if told[n] ~= 1 then wrong = wrong + 1 end
end
local elapsed = mp.monotonic() - began
ended:set()
killer:join()
pool:close()
assert(pool:join(10))
local stats = pool:stats()
print(("%d tasks in %.1f s: %d kills, %d workers replaced, %d runs lost and run again, %d wrong"):format(
  TASKS, elapsed, kills.value, stats.restarted, starts.value - TASKS, wrong))
assert(wrong == 0 and stats.done == TASKS + 1, "each task has one result, the right one")
assert(mp.check())
