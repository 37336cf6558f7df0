-- Tutorial 004-16: Pool(3).apply, the synchronous call.
-- Run:    lua5.4 examples/tutorial/004-16_pool_apply.lua      (SECOND=0.1 makes it quick)
-- Prints: ten running lines on at most three pids, the double line, and 0 to 81 in order.
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
  local res = pool:apply(work, {i})
  table.insert(res_l, res)
end
print("========================")
-- 同步调用,直到本次任务执行完毕拿到res,等待任务work执行的过程中可能有阻塞也可能没有阻塞,
-- 但不管该任务是否存在阻塞,同步调用都会在原地等着
print(mp.repr(res_l))
