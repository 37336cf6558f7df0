-- Shows:  an event that several processes wait for, with and without a timeout
-- Run:    lua5.4 examples/06_event.lua
-- Prints: before: false | three went through the gate | after: true
local mp = require "multiprocessing"

local function walker(gate, passed)
  gate:wait()
  passed:release()
end

local gate, passed = mp.Event(), mp.Semaphore(0)
for _ = 1, 3 do
  mp.Process{target = walker, args = {gate, passed}}:start()
end

print("before: " .. tostring(gate:wait(0.05))) -- nobody has set it: false, after 50 ms
gate:set()
for _ = 1, 3 do passed:acquire() end
print("three went through the gate")
print("after: " .. tostring(gate:wait(0.05)))
