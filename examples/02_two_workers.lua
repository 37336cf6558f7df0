-- Shows:  two processes that run at the same time, and a class of processes
-- Run:    lua5.4 examples/02_two_workers.lua
-- Prints: both have started | left has ended with 3 | right has ended with 4
local mp = require "multiprocessing"

local Worker = mp.Process:extend("Worker")

function Worker:init(name, barrier, code)
  mp.Process.init(self, {name = name})
  self.barrier, self.code = barrier, code
end

function Worker:run()
  self.barrier:wait() -- nobody goes on before all three have come here
  os.exit(self.code)
end

local barrier = mp.Barrier(3)
local workers = {Worker("left", barrier, 3), Worker("right", barrier, 4)}
for _, worker in ipairs(workers) do worker:start() end

barrier:wait()
print("both have started")
for _, worker in ipairs(workers) do
  worker:join()
  print(("%s has ended with %d"):format(worker.name, worker.exitcode))
end
