--- What every program of this folder shares: a clock, the amount of work, the gate, the report.
--
-- A program prints one line a figure, `metric number`, or `metric absent NAME` where the module has
-- no such NAME yet. The parent measures: its workers say that they are ready and wait, and the clock
-- starts when it opens the gate.

local least = require "least"

local stopwatch = {now = least.now}

local scale = tonumber(os.getenv("BENCH_SCALE")) or 1

--- The part of the whole work that this run is to do.
function stopwatch.amount(whole)
  return math.max(1, math.floor(whole * scale))
end

function stopwatch.report(metric, value)
  io.write(("%s %.6g\n"):format(metric, value))
end

--- The module has no such name yet, so these metrics have no figures.
function stopwatch.report_absent(metrics, name)
  for metric in metrics:gmatch("%S+") do
    io.write(metric, " absent ", name, "\n")
  end
end

--- Calls measure(mp) where the module has all the names; else says that the metrics are absent.
function stopwatch.measure(metrics, names, measure)
  if not package.searchpath("multiprocessing", package.path) then
    return stopwatch.report_absent(metrics, "multiprocessing")
  end
  local mp = require "multiprocessing"
  for name in names:gmatch("%S+") do
    if mp[name] == nil then return stopwatch.report_absent(metrics, "mp." .. name) end
  end
  measure(mp)
end

--- Mean nanoseconds of one of n repetitions that took so many seconds.
function stopwatch.nanoseconds(seconds, n)
  return seconds / n * 1e9
end

function stopwatch.gate(mp)
  return {ready = mp.Semaphore(0), opened = mp.Semaphore(0)}
end

--- For a worker: I am ready; returns when the gate opens.
function stopwatch.arrive(gate)
  gate.ready:release()
  gate.opened:acquire()
end

--- For the parent: waits for the workers, opens the gate, returns the time.
function stopwatch.open(gate, workers)
  for _ = 1, workers do gate.ready:acquire() end
  local start = least.now()
  for _ = 1, workers do gate.opened:release() end
  return start
end

--- Starts a worker that calls work(...).
function stopwatch.start(mp, work, ...)
  local process = mp.Process {target = work, args = table.pack(...)}
  process:start()
  return process
end

--- Joins the workers, none of which may have failed.
function stopwatch.join(processes)
  for _, process in ipairs(processes) do
    process:join()
    assert(process.exitcode == 0, "a worker failed")
  end
end

return stopwatch
