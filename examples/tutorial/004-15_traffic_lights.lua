-- Tutorial 004-15: an Event as a traffic light.
-- Run:    lua5.4 examples/tutorial/004-15_traffic_lights.lua  (SECOND=0.05 makes it quick)
-- Prints: five cars wait at the red light and pass (as police cars do, after a second), and the
--         main program's line.
local mp = require "multiprocessing"
local Process, Event = mp.Process, mp.Event
local SECOND = tonumber(os.getenv "SECOND") or 1
local CHANGES = 2 -- the tutorial's light changes for ever; this one turns green and red again

local function police_car(e, n)
  while true do
    if not e:is_set() then
      print(("\27[31m红灯亮\27[0m,car%s等着"):format(n))
      e:wait(1 * SECOND)
      print(("灯的是%s,警车走了,car %s"):format(e:is_set(), n))
      break
    end
    mp.sleep(0.1 * SECOND) -- the tutorial spins here until the light is red
  end
end

local function traffic_lights(e, inverval)
  for _ = 1, CHANGES do
    mp.sleep(inverval)
    if e:is_set() then
      e:clear() -- e:is_set() ---->false
    else
      e:set()
    end
  end
end

local e = Event()

for i = 0, 4 do
  local p = Process{target = police_car, args = {e, i}}
  p:start()
end
local t = Process{target = traffic_lights, args = {e, 10 * SECOND}}
t:start()

print("============》")
