-- Shows:  a process with a target, its arguments, its name and its exit code
-- Run:    lua5.4 examples/01_hello.lua
-- Prints: hello, world, from Process-1 | it ended with 0
local mp = require "multiprocessing"

local function greet(whom)
  print(("hello, %s, from %s"):format(whom, mp.current_process().name))
end

local p = mp.Process{target = greet, args = {"world"}}
p:start()
p:join()
print("it ended with " .. p.exitcode)
