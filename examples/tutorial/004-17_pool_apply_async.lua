-- Tutorial 004-17: Pool(3).apply_async and get, the asynchronous call.
-- Run:    lua5.4 examples/tutorial/004-17_pool_apply_async.lua    (SECOND=0.1 makes it quick)
-- Prints: the double line before the last task ends, ten running lines on at most three pids, then
--         0 to 81 in order.
local mp = require "multiprocessing"
local Pool = mp.Pool
local SECOND = tonumber(os.getenv "SECOND") or 1

local function work(n)
  print(("%s is runnung"):format(mp.getpid()))
  mp.sleep(0.1 * SECOND)
  return n * n
end

local pool = Pool(3)
local res_l = {}
for i = 0, 9 do
  local res = pool:apply_async(work, {i})
  table.insert(res_l, res)
end
print("========================")
-- 异步apply_async用法:主进程需要使用join,等待进程池内任务都处理完,然后可以用get收集结果
pool:close()
pool:join()
for _, res in ipairs(res_l) do
  print(res:get()) -- 使用get来获取apply_async的结果,如果是apply,则没有get方法
end
