-- Tutorial 001-02: the same five processes, as a class.
-- Run:    lua5.4 examples/tutorial/001-02_subclass.lua
-- Prints: five times 测试Python多进程, then 结束测试.
local Process = require "multiprocessing".Process

local MyProcess = Process:extend("MyProcess") -- 继承Process类

function MyProcess:init(name)
  Process.init(self)
  self.name = name
end

function MyProcess:run()
  print(("测试%s多进程"):format(self.name))
end

local process_list = {}
for _ = 1, 5 do -- 开启5个子进程执行fun1函数
  local p = MyProcess("Python") -- 实例化进程对象
  p:start()
  table.insert(process_list, p)
end

for _, p in ipairs(process_list) do
  p:join()
end

print("结束测试")
