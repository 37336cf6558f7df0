-- Tutorial 000-06: join lets a daemon finish its work.
-- Run:    lua5.4 examples/tutorial/000-06_daemon_join.lua     (SECOND=0.05 makes it quick)
-- Prints: work start, work end, end!
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
p:join()
print("end!")
