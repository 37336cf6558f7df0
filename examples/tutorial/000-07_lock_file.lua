-- Tutorial 000-07: a Lock around a file, once scoped and once with acquire and release.
-- Run:    lua5.4 examples/tutorial/000-07_lock_file.lua [file]    (the default is file.txt)
-- Prints: end; the file then has nine more lines of each worker, never interleaved.
local multiprocessing = require "multiprocessing"

local function worker_with(lock, f)
  local _ <close> = lock:guard()
  local fs = assert(io.open(f, "a+"))
  local n = 10
  while n > 1 do
    fs:write("lockd acquired via with\n")
    n = n - 1
  end
  fs:close()
end

local function worker_no_with(lock, f)
  lock:acquire()
  local ok, err = pcall(function()
    local fs = assert(io.open(f, "a+"))
    local n = 10
    while n > 1 do
      fs:write("lock acquired directly\n")
      n = n - 1
    end
    fs:close()
  end)
  lock:release() -- what Python's "finally" does: whatever happened above
  if not ok then error(err, 0) end
end

local lock = multiprocessing.Lock()
local f = arg[1] or "file.txt"
local w = multiprocessing.Process{target = worker_with, args = {lock, f}}
local nw = multiprocessing.Process{target = worker_no_with, args = {lock, f}}
w:start()
nw:start()
print("end")
