-- Tutorial 001-06: ten tasks in a Pool(5), submitted with named arguments.
-- Run:    lua5.4 examples/tutorial/001-06_pool.lua            (SECOND=0.1 makes it quick)
-- Prints: a run line and a finish line for each of the tasks 0 to 9, on at most five pids.
local mp = require "multiprocessing"
local Pool = mp.Pool
local SECOND = tonumber(os.getenv "SECOND") or 1

local function fun1(name)
  print(("Run task %s (%s)..."):format(name, mp.getpid()))
  local start = mp.time()
  mp.sleep(math.random() * 3 * SECOND)
  print(("Task %s runs %0.2f seconds."):format(name, mp.time() - start))
end

local pool = Pool(5) -- 创建一个5个进程的进程池

for i = 0, 9 do
  pool:apply_async{func = fun1, args = {i}}
end

pool:close()
pool:join()
print("结束测试")
