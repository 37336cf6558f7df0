-- Tutorial 004-08: the daemon puzzle. What is printed of foo, which is a daemon, and of bar?
-- Run:    lua5.4 examples/tutorial/004-08_daemon_puzzle.lua
-- Prints: main-------, 456, end456 (and 123 where foo starts very fast); never end123.
local mp = require "multiprocessing"
local Process = mp.Process
local SECOND = tonumber(os.getenv "SECOND") or 1

local function foo()
  print(123)
  mp.sleep(1 * SECOND)
  print("end123")
end

local function bar()
  print(456)
  mp.sleep(3 * SECOND)
  print("end456")
end

local p1 = Process{target = foo}
local p2 = Process{target = bar}

p1.daemon = true
p1:start()
p2:start()
print("main-------")
