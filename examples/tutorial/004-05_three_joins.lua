-- Tutorial 004-05: three joins in a loop take as long as the longest child, not as all together.
-- Run:    lua5.4 examples/tutorial/004-05_three_joins.lua     (SECOND=0.2 makes it quick)
-- Prints: three running lines, then 主 and the time: that of the longest.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local function task(name, n)
  print(("%s is running"):format(name))
  mp.sleep(n * SECOND)
end

local start = mp.time()
local p1 = Process{target = task, args = {"子进程1", 5}}
local p2 = Process{target = task, args = {"子进程2", 3}}
local p3 = Process{target = task, args = {"子进程3", 2}}
local p_l = {p1, p2, p3}

-- p1:start()
-- p2:start()
-- p3:start()
for _, p in ipairs(p_l) do
  p:start()
end

-- p1:join()
-- p2:join()
-- p3:join()
for _, p in ipairs(p_l) do
  p:join()
end

print(("主 %s"):format(mp.time() - start))
