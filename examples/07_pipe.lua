-- Shows:  a pipe: messages both ways, and the end of the stream
-- Run:    lua5.4 examples/07_pipe.lua
-- Prints: HELLO | {1, 2, 3} reversed is {3, 2, 1} | EOFError
local mp = require "multiprocessing"

local function servant(conn)
  local text = conn:recv()
  conn:send(text:upper())
  local list = conn:recv()
  table.sort(list, function(a, b) return a > b end)
  conn:send(list)
  conn:close()
end

local mine, its = mp.Pipe()
mp.Process{target = servant, args = {its}}:start()
its:close() -- the child has its own; the stream ends when the last copy is closed

mine:send("hello")
print(mine:recv())

local list = {1, 2, 3}
mine:send(list)
print(("%s reversed is %s"):format(mp.repr(list), mp.repr(mine:recv())))

local _, err = pcall(mine.recv, mine)
print(err.kind)
