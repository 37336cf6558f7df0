-- Tutorial 004-04: join, and what a Process object says after it.
-- Run:    lua5.4 examples/tutorial/004-04_join.lua            (SECOND=0.05 makes it quick)
-- Prints: the child's two lines, 主 with two pids, then the child's pid and false.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local function task()
  print(("%s is running,parent id is <%s>"):format(mp.getpid(), mp.getppid()))
  mp.sleep(1 * SECOND)
  print(("%s is done,parent id is <%s>"):format(mp.getpid(), mp.getppid()))
end

local p = Process{target = task}
p:start()

p:join()
print(("主 %d %d"):format(mp.getpid(), mp.getppid()))
mp.sleep(1 * SECOND)
print(("%d %s"):format(p.pid, p:is_alive()))
