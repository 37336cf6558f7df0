-- Tutorial 004-11: a Queue(3): put, full, get, empty.
-- Run:    lua5.4 examples/tutorial/004-11_queue.lua           (SECOND=0.05 makes it quick)
-- Prints: true, hello, {a = 1}, {3, 3, 3}, true, and that the queue stayed Empty.
local mp = require "multiprocessing"
local Queue = mp.Queue
local SECOND = tonumber(os.getenv "SECOND") or 1

local q = Queue(3)

q:put("hello")
q:put({a = 1})
q:put({3, 3, 3})
print(q:full())

-- q:put(4)

print(q:get())
print(mp.repr(q:get()))
print(mp.repr(q:get()))
print(q:empty())

-- The tutorial's last get() waits for ever; this one has a timeout.
local ok, err = pcall(q.get, q, {timeout = 1 * SECOND})
print(ok, err.kind)
