-- Tutorial 000-05: a daemon is terminated when its parent's program ends.
-- Run:    lua5.4 examples/tutorial/000-05_daemon.lua
-- Prints: end! (a child that starts very fast may print its start; its end never appears).
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker(interval)
  print("work start:" .. os.date("%c"))
  multiprocessing.sleep(interval)
  print("work end:" .. os.date("%c"))
end

local p = multiprocessing.Process{target = worker, args = {3 * SECOND}}
p.daemon = true
p:start()
print("end!")
