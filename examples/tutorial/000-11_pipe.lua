-- Tutorial 000-11: a Pipe between two long-lived processes.
-- Run:    lua5.4 examples/tutorial/000-11_pipe.lua            (SECOND=0.05 makes it quick)
-- Prints: "send: n" and "proc2 rev: n" in step, for n from 0 to 8.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1
local ROUNDS = 9 -- the tutorial loops for ever; its listing ends after 9 rounds, as this does

local function proc1(pipe)
  for i = 0, ROUNDS - 1 do
    print(("send: %s"):format(i))
    pipe:send(i)
    multiprocessing.sleep(1 * SECOND)
  end
end

local function proc2(pipe)
  for _ = 1, ROUNDS do
    print(("proc2 rev: %s"):format(pipe:recv()))
    multiprocessing.sleep(1 * SECOND)
  end
end

-- A third process may share the end of the second; each message then goes to one of the two.
-- local function proc3(pipe)
--   for _ = 1, ROUNDS do
--     print(("proc3 rev: %s"):format(pipe:recv()))
--     multiprocessing.sleep(1 * SECOND)
--   end
-- end

local pipe = {multiprocessing.Pipe()}
local p1 = multiprocessing.Process{target = proc1, args = {pipe[1]}}
local p2 = multiprocessing.Process{target = proc2, args = {pipe[2]}}
-- local p3 = multiprocessing.Process{target = proc3, args = {pipe[2]}}

p1:start()
p2:start()
-- p3:start()

p1:join()
p2:join()
-- p3:join()
