-- Tutorial 004-02: a subclass whose init calls its parent's.
-- Run:    lua5.4 examples/tutorial/004-02_subclass.lua        (SECOND=0.05 makes it quick)
-- Prints: 主 from the main program; running and done from the child.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local MyProcess = Process:extend("MyProcess")

function MyProcess:init(name)
  Process.init(self)
  self.name = name
end

function MyProcess:run()
  print(("%s is running"):format(self.name))
  mp.sleep(1 * SECOND)
  print(("%s is done"):format(self.name))
end

local p = MyProcess("子进程1")
p:start()
-- p:join() -- 主线程等待p终止(强调:是主线程处于等的状态,而p是处于运行的状态)。
print("主")
