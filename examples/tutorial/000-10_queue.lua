-- Tutorial 000-10: put and get that do not wait.
-- Run:    lua5.4 examples/tutorial/000-10_queue.lua
-- Prints: 1, or nothing when the reader came before the writer.
local multiprocessing = require "multiprocessing"

local function writer_proc(q)
  pcall(function()
    q:put(1, {block = false})
  end)
end

local function reader_proc(q)
  pcall(function()
    print(q:get{block = false})
  end)
end

local q = multiprocessing.Queue()
local writer = multiprocessing.Process{target = writer_proc, args = {q}}
writer:start()
local reader = multiprocessing.Process{target = reader_proc, args = {q}}
reader:start()
reader:join()
writer:join()
