-- Tutorial 004-12: producers and consumers around a Queue; None (here nil) means the end.
-- Run:    lua5.4 examples/tutorial/004-12_producers_consumers.lua    (SECOND=0.05 makes it quick)
-- Prints: nine 生产者生产了, 主 after the last of them, and nine 消费者吃了: every bun eaten once.
local mp = require "multiprocessing"
local Process, Queue = mp.Process, mp.Queue
local SECOND = tonumber(os.getenv "SECOND") or 1

local function producer(q)
  for i = 0, 2 do
    local res = ("包子%s"):format(i)
    mp.sleep(0.5 * SECOND)
    print(("生产者生产了%s"):format(res))

    q:put(res)
  end
end

local function consumer(q)
  while true do
    local res = q:get()
    if res == nil then break end
    mp.sleep(1 * SECOND)
    print(("消费者吃了%s"):format(res))
  end
end

-- 容器
local q = Queue()

-- 生产者们
local p1 = Process{target = producer, args = {q}}
local p2 = Process{target = producer, args = {q}}
local p3 = Process{target = producer, args = {q}}

-- 消费者们
local c1 = Process{target = consumer, args = {q}}
local c2 = Process{target = consumer, args = {q}}

p1:start()
p2:start()
p3:start()
c1:start()
c2:start()

p1:join() -- 等待生产者都结束了,才可以发送nil哦
p2:join()
p3:join()
q:put(nil) -- 生产者在生产完毕后发送结束信号nil
q:put(nil)
print("主")
