-- Tutorial 001-03: three processes put into one Queue, the main program gets.
-- Run:    lua5.4 examples/tutorial/001-03_queue.lua
-- Prints: a start line from each process, then the three messages, then 结束测试.
local mp = require "multiprocessing"
local Process, Queue = mp.Process, mp.Queue

local function fun1(q, i)
  print(("子进程%s 开始put数据"):format(i))
  q:put(("我是%s 通过Queue通信"):format(i))
end

local q = Queue()

local process_list = {}
for i = 0, 2 do
  local p = Process{target = fun1, args = {q, i}} -- q对象传给我们要执行的方法
  p:start()
  table.insert(process_list, p)
end

for _, p in ipairs(process_list) do
  p:join()
end

print("主进程获取Queue数据")
print(q:get())
print(q:get())
print(q:get())
print("结束测试")
