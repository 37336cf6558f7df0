-- Tutorial 003-02: a Process with two arguments, and join.
-- Run:    lua5.4 examples/tutorial/003-02_process_join.lua    (SECOND=0.05 makes it quick)
-- Prints: five lines of the child, its end 子进程结束, then 主进程结束.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local function test(name, age)
  for _ = 1, 5 do
    print(("--test--%s\t%d"):format(name, age))
    mp.sleep(1 * SECOND)
  end
  print("子进程结束")
end

local p = Process{target = test, args = {"aaa", 18}}
p:start()
-- 等待进程实例执行结束,或等待多少秒;
p:join() -- 等待的最长时间
print("主进程结束")
