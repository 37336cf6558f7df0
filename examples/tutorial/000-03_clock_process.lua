-- Tutorial 000-03: a process as a class with its own init and run.
-- Run:    lua5.4 examples/tutorial/000-03_clock_process.lua   (SECOND=0.05 makes it quick)
-- Prints: five time lines.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local ClockProcess = multiprocessing.Process:extend("ClockProcess")

function ClockProcess:init(interval)
  multiprocessing.Process.init(self)
  self.interval = interval
end

function ClockProcess:run()
  local n = 5
  while n > 0 do
    print("the time is " .. os.date("%c"))
    multiprocessing.sleep(self.interval)
    n = n - 1
  end
end

local p = ClockProcess(3 * SECOND)
p:start()
