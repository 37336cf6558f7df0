-- Tutorial 004-03: pids and parents' pids.
-- Run:    lua5.4 examples/tutorial/004-03_pid.lua             (SECOND=0.05 makes it quick)
-- Prints: 主 with the main program's pid and its parent's; the child's two lines, whose parent is
--         the main program.
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

print(("主 %d %d"):format(mp.getpid(), mp.getppid()))
