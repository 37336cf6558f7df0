-- Tutorial 000-04: without the daemon flag, the program waits for its child.
-- Run:    lua5.4 examples/tutorial/000-04_no_daemon.lua       (SECOND=0.05 makes it quick)
-- Prints: end!, work start, work end (a child that starts very fast may print its start first).
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker(interval)
  print("work start:" .. os.date("%c"))
  multiprocessing.sleep(interval)
  print("work end:" .. os.date("%c"))
end

local p = multiprocessing.Process{target = worker, args = {3 * SECOND}}
p:start()
print("end!")
