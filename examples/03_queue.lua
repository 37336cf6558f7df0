-- Shows:  a queue of tables; shutdown is the end mark that every consumer sees
-- Run:    lua5.4 examples/03_queue.lua
-- Prints: 10 orders, 55 apples
local mp = require "multiprocessing"

local function consumer(orders, results)
  local count, apples = 0, 0
  for _, order in orders:items() do -- until the queue is shut down and empty
    count, apples = count + 1, apples + order.apples
  end
  results:put({count = count, apples = apples})
end

local orders, results = mp.Queue(4), mp.Queue() -- at most four orders wait at any time
for _ = 1, 2 do
  mp.Process{target = consumer, args = {orders, results}}:start()
end

for i = 1, 10 do
  orders:put({customer = "c" .. i, apples = i})
end
orders:shutdown()

local a, b = results:get(), results:get()
print(("%d orders, %d apples"):format(a.count + b.count, a.apples + b.apples))
