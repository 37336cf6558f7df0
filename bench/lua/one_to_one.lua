--- One producer process, the parent consumes, until it has the last message: messages a second.
local stopwatch = require "stopwatch"

local function produce(gate, queue, messages, make)
  stopwatch.arrive(gate)
  for i = 1, messages do queue:put(make(i)) end
end

return function(mp, maxsize, messages, make)
  local gate, queue = stopwatch.gate(mp), mp.Queue(maxsize)
  local producer = stopwatch.start(mp, produce, gate, queue, messages, make)
  local last
  local start = stopwatch.open(gate, 1)
  for _ = 1, messages do last = queue:get() end
  local spent = stopwatch.now() - start
  stopwatch.join {producer}
  assert(queue:empty() and last ~= nil)
  return messages / spent
end
