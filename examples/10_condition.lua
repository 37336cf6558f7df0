-- Shows:  a condition: a process waits until something is true of shared data
-- Run:    lua5.4 examples/10_condition.lua
-- Prints: the fuel is at 3 | lift-off
local mp = require "multiprocessing"

local function rocket(changed, fuel, done)
  changed:acquire()
  changed:wait_for(function() return fuel.value >= 3 end) -- lets go of the lock while it waits
  print("the fuel is at " .. fuel.value)
  changed:release()
  done:set()
end

local changed, fuel, done = mp.Condition(), mp.Value("i", 0), mp.Event()
mp.Process{target = rocket, args = {changed, fuel, done}}:start()

for _ = 1, 3 do
  changed:acquire()
  fuel:add(1)
  changed:notify_all()
  changed:release()
end

done:wait()
print("lift-off")
