-- Tutorial 002-01: the smallest program.
-- Run:    lua5.4 examples/tutorial/002-01_hello.lua
-- Prints: hello zhangyanlin
local Process = require "multiprocessing".Process

local function func(name)
  print("hello " .. name)
end

local p = Process{target = func, args = {"zhangyanlin"}}
p:start()
p:join() -- 等待进程执行完毕
