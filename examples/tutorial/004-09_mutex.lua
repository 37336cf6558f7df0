-- Tutorial 004-09: a mutex puts three workers in order.
-- Run:    lua5.4 examples/tutorial/004-09_mutex.lua           (SECOND=0.05 makes it quick)
-- Prints: 主:, and the lines 1, 2, 3 of each worker together.
local mp = require "multiprocessing"
local Process, Lock = mp.Process, mp.Lock
local SECOND = tonumber(os.getenv "SECOND") or 1

local function task(name, mutex)
  mutex:acquire()
  print(("%s 1"):format(name))
  mp.sleep(1 * SECOND)
  print(("%s 2"):format(name))
  mp.sleep(1 * SECOND)
  print(("%s 3"):format(name))
  mutex:release()
end

local mutex = Lock()
for i = 0, 2 do
  local p = Process{target = task, args = {("进程%s"):format(i), mutex}}
  p:start()
end
print("主:")
