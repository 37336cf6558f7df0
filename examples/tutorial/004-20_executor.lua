-- Tutorial 004-20: ProcessPoolExecutor(4): submit, and shutdown that waits.
-- Run:    lua5.4 examples/tutorial/004-20_executor.lua        (SECOND=0.05 makes it quick)
-- Prints: ten run lines on at most four pids, then 主.
local mp = require "multiprocessing"
local ProcessPoolExecutor = mp.futures.ProcessPoolExecutor
-- local ThreadPoolExecutor = mp.futures.ThreadPoolExecutor
local SECOND = tonumber(os.getenv "SECOND") or 1

local function task(name)
  print(("name:%s pid:%s run"):format(name, mp.getpid()))
  mp.sleep(math.random(1, 3) * SECOND)
end

local pool = ProcessPoolExecutor(4)
-- local pool = ThreadPoolExecutor(5)

for i = 0, 9 do
  pool:submit(task, ("egon%s"):format(i))
end

pool:shutdown{wait = true} -- 等到这个池子里的所有进程或者线程都执行完毕后,才继续执行下面的代码。
print("主")
