-- Tutorial 004-07: a daemon subclass ends with the main program, and may not have children.
-- Run:    lua5.4 examples/tutorial/004-07_daemon_class.lua
-- Prints: the error that a daemon gets which starts a child, then 主 (a child that starts very fast
--         may print "piaoing"; "piao end" never appears).
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local Piao = Process:extend("Piao")

function Piao:init(name)
  self.name = name
  Process.init(self)
end

function Piao:run()
  print(("%s is piaoing"):format(self.name))
  mp.sleep(math.random(1, 2) * SECOND)
  print(("%s is piao end"):format(self.name))
end

-- 守护进程内无法再开启子进程,否则抛出异常: the tutorial says it, this program shows it.
local Parent = Process:extend("Parent")

function Parent:run() -- luacheck: ignore 212/self
  local child = Piao("child")
  local ok, err = pcall(child.start, child)
  print(ok, err.kind, err.message)
end

local parent = Parent()
parent.daemon = true
parent:start()
parent:join()

local p = Piao("egon")
p.daemon = true -- 一定要在p:start()前设置,设置p为守护进程,禁止p创建子进程,并且父进程代码执行结束,p即终止运行
p:start()
print("主")
