-- Shows:  a pool's worker is killed in the middle of a task: that task fails, nothing else does
-- Run:    lua5.4 examples/09_crash_and_recovery.lua
-- Prints: WorkerLostError, exit code -9 | 1 4 9 16 25 | two workers as before
local mp = require "multiprocessing"

local function square(n) return n * n end

local function victim()
  os.execute("kill -9 " .. mp.getpid())
  mp.sleep(3600)
end

local pool <close> = mp.Pool(2)
local doomed = pool:apply_async(victim)
local squares = pool:map_async(square, mp.range(1, 6))

local _, err = pcall(doomed.get, doomed)
print(("%s, exit code %d"):format(err.kind, err.exitcode))
print(table.concat(squares:get(), " "))

-- Both workers are there again: each waits at a barrier that only two together can pass.
local barrier = mp.Barrier(2)
local function meet(b) return b:wait() end
local one, two = pool:apply_async(meet, {barrier}), pool:apply_async(meet, {barrier})
if one:get() + two:get() == 3 then print("two workers as before") end
