-- Tutorial 004-21: the synchronous and the asynchronous forms of a call give the same value.
-- Run:    lua5.4 examples/tutorial/004-21_synchronous.lua
-- Prints: 332833500 from each of Pool.apply, submit.result, Pool.apply_async and submit.
local mp = require "multiprocessing"
local Pool, ProcessPoolExecutor = mp.Pool, mp.futures.ProcessPoolExecutor

local function func() -- the tutorial's "一个累计1亿次的任务", with fewer rounds
  local sum = 0
  for i = 1, 999 do
    sum = sum + i * i
  end
  return sum
end

-- 同步: 发起同步调用后,就在原地等着任务结束
local pool = Pool(3)
print("Pool.apply " .. pool:apply(func))
local executor = ProcessPoolExecutor(3)
print("submit.result " .. executor:submit(func):result())

-- 异步: 会立即获取一个临时结果(并不是最终的结果,可能是封装好的一个对象)
local res = pool:apply_async(func)
local future = executor:submit(func)
print("Pool.apply_async " .. res:get())
print("submit " .. future:result())

executor:shutdown{wait = true}
pool:close()
pool:join()
