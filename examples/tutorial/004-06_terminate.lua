-- Tutorial 004-06: terminate and is_alive.
-- Run:    lua5.4 examples/tutorial/004-06_terminate.lua
-- Prints: true (or false, where the child ended at once), 开始, then false; never "piao end".
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local Piao = Process:extend("Piao")

function Piao:init(name)
  self.name = name -- before the base's init, as in the tutorial: that is allowed
  Process.init(self)
end

function Piao:run()
  print(("%s is piaoing"):format(self.name))
  mp.sleep(math.random(1, 4) * SECOND)
  print(("%s is piao end"):format(self.name))
end

local p1 = Piao("egon1")
p1:start()

p1:terminate() -- 关闭进程,不会立即关闭,所以is_alive立刻查看的结果可能还是存活
print(p1:is_alive()) -- 结果为true

print("开始")
p1:join() -- not in the tutorial, which hopes that the child has ended by now
print(p1:is_alive()) -- 结果为false
