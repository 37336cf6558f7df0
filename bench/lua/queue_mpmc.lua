-- 2 producers, 2 consumers, 200 000 integers through a queue bounded to 1000; two sentinels at the
-- end; until both consumers are joined.
local stopwatch = require "stopwatch"

local function produce(gate, queue, messages)
  stopwatch.arrive(gate)
  for i = 1, messages do queue:put(i) end
end

local function consume(gate, queue, counts)
  stopwatch.arrive(gate)
  local count = 0
  while queue:get() do count = count + 1 end
  counts:put(count)
end

stopwatch.measure("queue_mpmc", "Process Semaphore Queue", function(mp)
  local messages = stopwatch.amount(200000) // 2
  local gate, queue, counts = stopwatch.gate(mp), mp.Queue(1000), mp.Queue()
  local producers, consumers = {}, {}
  for i = 1, 2 do
    consumers[i] = stopwatch.start(mp, consume, gate, queue, counts)
    producers[i] = stopwatch.start(mp, produce, gate, queue, messages)
  end
  local start = stopwatch.open(gate, 4)
  stopwatch.join(producers)
  queue:put(false)
  queue:put(false)
  stopwatch.join(consumers)
  local spent = stopwatch.now() - start
  assert(counts:get() + counts:get() == 2 * messages, "the count is wrong")
  stopwatch.report("queue_mpmc", 2 * messages / spent)
end)
