-- The parent sends an integer, the worker sends it back: 40 000 round trips, a second; over a Pipe,
-- and over two queues.
local stopwatch = require "stopwatch"

local rounds = stopwatch.amount(40000)

local function answer_pipe(gate, connection, n)
  stopwatch.arrive(gate)
  for _ = 1, n do connection:send(connection:recv()) end
end

local function answer_queues(gate, there, back, n)
  stopwatch.arrive(gate)
  for _ = 1, n do back:put(there:get()) end
end

local function over_pipe(mp)
  local gate = stopwatch.gate(mp)
  local mine, theirs = mp.Pipe()
  local worker = stopwatch.start(mp, answer_pipe, gate, theirs, rounds)
  local start = stopwatch.open(gate, 1)
  for i = 1, rounds do
    mine:send(i)
    if mine:recv() ~= i then error("another number came back") end
  end
  stopwatch.report("pingpong_pipe", rounds / (stopwatch.now() - start))
  stopwatch.join {worker}
end

local function over_queues(mp)
  local gate = stopwatch.gate(mp)
  local there, back = mp.Queue(), mp.Queue()
  local worker = stopwatch.start(mp, answer_queues, gate, there, back, rounds)
  local start = stopwatch.open(gate, 1)
  for i = 1, rounds do
    there:put(i)
    if back:get() ~= i then error("another number came back") end
  end
  stopwatch.report("pingpong_queues", rounds / (stopwatch.now() - start))
  stopwatch.join {worker}
end

stopwatch.measure("pingpong_pipe", "Process Semaphore Pipe", over_pipe)
stopwatch.measure("pingpong_queues", "Process Semaphore Queue", over_queues)
