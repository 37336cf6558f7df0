-- Tutorial 000-12: apply_async does not wait for its task.
-- Run:    lua5.4 examples/tutorial/000-12_pool_async.lua      (SECOND=0.1 makes it quick)
-- Prints: the mark before any task has ended; hello 3 only after an end, as there are three workers.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function func(msg)
  print("msg: " .. msg)
  multiprocessing.sleep(3 * SECOND)
  print("end")
end

local pool = multiprocessing.Pool{processes = 3}
for i = 0, 3 do
  local msg = ("hello %d"):format(i)
  pool:apply_async(func, {msg}) -- 维持执行的进程总数为processes,当一个进程执行完毕后会添加新的进程进去
end

print("mark~ mark~ mark~~~~~~~~~~~~~~~~~~~~~~")
pool:close()
pool:join() -- 调用join之前,先调用close函数,否则会出错
print("sub-process(es) done.")
