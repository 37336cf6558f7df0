-- Shows:  a process is killed with -9 while it holds a lock; the next one gets the lock, and is told
-- Run:    lua5.4 examples/05_lock_abandoned.lua
-- Prints: got it: true, abandoned | its holder ended with -9 | and from now on: true, nil
local mp = require "multiprocessing"

local function holder(lock, ready)
  lock:acquire()
  ready:set()
  mp.sleep(3600) -- holds the lock for an hour, unless something happens
end

local lock, ready = mp.Lock(), mp.Event()
local p = mp.Process{target = holder, args = {lock, ready}, daemon = true}
p:start()
ready:wait()
p:kill() -- SIGKILL: nothing of the holder runs any more
p:join()

local ok, how = lock:acquire()
print(("got it: %s, %s"):format(ok, how))
local _, code = lock:abandoned()
print("its holder ended with " .. code)
lock:release()

ok, how = lock:acquire()
print(("and from now on: %s, %s"):format(ok, how))
lock:release()
