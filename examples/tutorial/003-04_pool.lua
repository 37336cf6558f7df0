-- Tutorial 003-04: ten tasks in a Pool(3).
-- Run:    lua5.4 examples/tutorial/003-04_pool.lua            (SECOND=0.05 makes it quick)
-- Prints: a line for each submitted task and a line from each run, on at most three pids.
local mp = require "multiprocessing"
local Pool = mp.Pool
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker(num)
  print(("----pid=%d num=%d---"):format(mp.getpid(), num))
  mp.sleep(1 * SECOND)
end

-- 定义一个进程池,最大进程数3
local pool = Pool(3)
for i = 0, 9 do
  print(("---%d--"):format(i))
  -- 使用非阻塞方式调用func(并行执行),一般用这个。
  -- apply堵塞方式必须等待上一个进程退出才能执行下一个进程,用的不多。
  pool:apply_async(worker, {i})
end
-- 关闭进程池
pool:close()
-- 等待所有子进程结束,主进程一般用来等待
pool:join() -- 进程池后面无操作时必须有这句
