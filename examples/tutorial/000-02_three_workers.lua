-- Tutorial 000-02: three workers at once, and what the parent sees of them.
-- Run:    lua5.4 examples/tutorial/000-02_three_workers.lua   (SECOND=0.05 makes it quick)
-- Prints: the number of CPUs, the name and pid of each child, "end", and the start and the end
--         of each worker.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function worker_1(interval)
  print("worker_1")
  multiprocessing.sleep(interval)
  print("end worker_1")
end

local function worker_2(interval)
  print("worker_2")
  multiprocessing.sleep(interval)
  print("end worker_2")
end

local function worker_3(interval)
  print("worker_3")
  multiprocessing.sleep(interval)
  print("end worker_3")
end

local p1 = multiprocessing.Process{target = worker_1, args = {2 * SECOND}}
local p2 = multiprocessing.Process{target = worker_2, args = {3 * SECOND}}
local p3 = multiprocessing.Process{target = worker_3, args = {4 * SECOND}}

p1:start()
p2:start()
p3:start()

print("the number of cpu is:" .. multiprocessing.cpu_count())
for _, p in ipairs(multiprocessing.active_children()) do
  print("child   p.name:" .. p.name .. "\tp.id" .. p.pid)
end
print("end")
