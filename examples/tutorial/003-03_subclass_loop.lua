-- Tutorial 003-03: a subclass; the main program and the child loop side by side.
-- Run:    lua5.4 examples/tutorial/003-03_subclass_loop.lua   (SECOND=0.05 makes it quick)
-- Prints: main, five times --main--, the child's line with both pids, five times --1--.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local MyProcess = Process:extend("MyProcess")

function MyProcess:init()
  -- 如果子类要重写init是必须要先调用父类的init否则会报错
  Process.init(self)
end

-- 重写Process的run()方法
function MyProcess:run() -- luacheck: ignore 212/self
  print(("子进程(%s)开始执行,父进程(%s)"):format(mp.getpid(), mp.getppid()))
  for _ = 1, 5 do
    print("--1--")
    mp.sleep(1 * SECOND)
  end
end

local p = MyProcess()
p:start()
-- p:join()
print("main")
for _ = 1, 5 do
  print("--main--")
  mp.sleep(1 * SECOND)
end
