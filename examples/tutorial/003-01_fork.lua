-- Tutorial 003-01: fork, the bare system call.
-- Run:    lua5.4 examples/tutorial/003-01_fork.lua
-- Prints: 父进程 from the parent and 子进程 from the child, in any order.
local mp = require "multiprocessing"

local pid = mp.fork()
-- 子进程永远返回0,而父进程返回子进程的ID。
if pid == 0 then
  print("子进程")
else
  print("父进程")
end
