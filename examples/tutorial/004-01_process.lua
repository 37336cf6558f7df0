-- Tutorial 004-01: a Process with args (or kwargs).
-- Run:    lua5.4 examples/tutorial/004-01_process.lua         (SECOND=0.05 makes it quick)
-- Prints: 主 from the main program; running and done from both children.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local function task(name)
  print(("%s is running"):format(name))
  mp.sleep(1 * SECOND)
  print(("%s is done"):format(name))
end

-- The tutorial shows the kwargs form in a comment; here both forms run.
local q = Process{target = task, kwargs = {name = "子进程2"}}
q:start()
local p = Process{target = task, args = {"子进程1"}}
-- p.daemon = true
p:start() -- 仅仅只是给操作系统发送了一个信号
print("主")
