-- An integer there and back over two rings whose readers spin.
local stopwatch = require "stopwatch"
local least = require "least"

local rounds = stopwatch.amount(400000)
local there, back = least.ring(), least.ring()
local pid = least.fork()
if pid == 0 then
  for _ = 1, rounds do back:put(there:get()) end
  least.exit()
end
local start = stopwatch.now()
for i = 1, rounds do
  there:put(i)
  if back:get() ~= i then error("another number came back") end
end
stopwatch.report("pingpong_queues", rounds / (stopwatch.now() - start))
least.wait(pid)
