-- Tutorial 000-01: one process whose target takes an interval.
-- Run:    lua5.4 examples/tutorial/000-01_interval.lua        (SECOND=0.05 makes it quick)
-- Prints: the child's pid, its name Process-1, that it is alive, and five time lines.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker(interval)
  local n = 5
  while n > 0 do
    print("the time is " .. os.date("%c"))
    multiprocessing.sleep(interval)
    n = n - 1
  end
end

local p = multiprocessing.Process{target = worker, args = {3 * SECOND}}
p:start()
print("p.pid: " .. p.pid)
print("p.name: " .. p.name)
print("p.is_alive: " .. tostring(p:is_alive()))
