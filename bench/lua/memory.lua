-- The proportional set size of 8 idle workers: mean KiB of one.
local stopwatch = require "stopwatch"

local WORKERS <const> = 8

local function idle(gate)
  stopwatch.arrive(gate)
end

local function proportional_size(pid)
  local file <close> = assert(io.open(("/proc/%d/smaps_rollup"):format(pid)))
  return tonumber(file:read("a"):match("Pss:%s*(%d+) kB"))
end

stopwatch.measure("memory", "Process Semaphore", function(mp)
  local gate, workers, sum = stopwatch.gate(mp), {}, 0
  for i = 1, WORKERS do workers[i] = stopwatch.start(mp, idle, gate) end
  for _ = 1, WORKERS do gate.ready:acquire() end
  for _, worker in ipairs(workers) do sum = sum + proportional_size(worker.pid) end
  for _ = 1, WORKERS do gate.opened:release() end
  stopwatch.join(workers)
  stopwatch.report("memory", sum / WORKERS)
end)
