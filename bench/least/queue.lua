-- Integers and strings through a ring with one producer and one consumer, who spin.
local stopwatch = require "stopwatch"
local least = require "least"

local function one_to_one(messages, value)
  local ring, gate = least.ring(), least.ring()
  local pid = least.fork()
  if pid == 0 then
    gate:get()
    for i = 1, messages do ring:put(value or i) end
    least.exit()
  end
  local start = stopwatch.now()
  gate:put(1)
  for _ = 1, messages do ring:get() end
  local spent = stopwatch.now() - start
  least.wait(pid)
  return messages / spent
end

local cases = {}

function cases.small()
  stopwatch.report("queue_small", one_to_one(stopwatch.amount(1000000)))
end

cases["1k"] = function()
  stopwatch.report("queue_1k", one_to_one(stopwatch.amount(1000000), ("x"):rep(1024)))
end

cases["1m"] = function()
  local rate = one_to_one(stopwatch.amount(3000), ("x"):rep(1 << 20))
  stopwatch.report("queue_1m", rate * (1 << 20) / 1e6)
end

cases[arg[1]]()
