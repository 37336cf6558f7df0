-- Tutorial 001-04: a duplex Pipe, messages both ways.
-- Run:    lua5.4 examples/tutorial/001-04_pipe.lua
-- Prints: 你好主进程 (received by the parent), 你好子进程 (received by the child), then 结束测试.
local mp = require "multiprocessing"
local Process, Pipe = mp.Process, mp.Pipe

local function fun1(conn)
  print("子进程发送消息:")
  conn:send("你好主进程")
  print("子进程接受消息:")
  print(conn:recv())
  conn:close()
end

local conn1, conn2 = Pipe() -- 关键点,pipe实例化生成一个双向管
local p = Process{target = fun1, args = {conn2}} -- conn2传给子进程
p:start()
print("主进程接受消息:")
print(conn1:recv())
print("主进程发送消息:")
conn1:send("你好子进程")
p:join()
print("结束测试")
