-- Tutorial 001-01: five processes that run one function.
-- Run:    lua5.4 examples/tutorial/001-01_five_processes.lua
-- Prints: five times 测试Python多进程, then 结束测试.
local Process = require "multiprocessing".Process

local function fun1(name)
  print(("测试%s多进程"):format(name))
end

local process_list = {}
for _ = 1, 5 do -- 开启5个子进程执行fun1函数
  local p = Process{target = fun1, args = {"Python"}} -- 实例化进程对象
  p:start()
  table.insert(process_list, p)
end

for _, p in ipairs(process_list) do
  p:join()
end

print("结束测试")
