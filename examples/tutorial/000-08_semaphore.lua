-- Tutorial 000-08: a Semaphore lets two of five processes in at a time.
-- Run:    lua5.4 examples/tutorial/000-08_semaphore.lua       (SECOND=0.05 makes it quick)
-- Prints: an acquire and a release line for each process, never more than two inside.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker(s, i)
  s:acquire()
  print(multiprocessing.current_process().name .. "acquire")
  multiprocessing.sleep(i)
  print(multiprocessing.current_process().name .. "release\n")
  s:release()
end

local s = multiprocessing.Semaphore(2)
for i = 0, 4 do
  local p = multiprocessing.Process{target = worker, args = {s, i * 2 * SECOND}}
  p:start()
end
