-- Tutorial 004-13: a JoinableQueue; the consumers are daemons that never end by themselves.
-- Run:    lua5.4 examples/tutorial/004-13_joinable_queue.lua  (SECOND=0.05 makes it quick)
-- Prints: six 生产者生产了 and six 消费者吃了, then 主: the program ends when all is done.
local mp = require "multiprocessing"
local Process, JoinableQueue = mp.Process, mp.JoinableQueue
local SECOND = tonumber(os.getenv "SECOND") or 1

local function producer(q)
  for i = 0, 1 do
    local res = ("包子%s"):format(i)
    mp.sleep(0.5 * SECOND)
    print(("生产者生产了%s"):format(res))

    q:put(res)
  end
  q:join()
end

local function consumer(q)
  while true do -- endless, as in the tutorial: the main program's end ends its daemons
    local res = q:get()
    mp.sleep(2 * SECOND)
    print(("消费者吃了%s"):format(res))
    q:task_done()
  end
end

-- 容器
local q = JoinableQueue()

-- 生产者们
local p1 = Process{target = producer, args = {q}}
local p2 = Process{target = producer, args = {q}}
local p3 = Process{target = producer, args = {q}}

-- 消费者们
local c1 = Process{target = consumer, args = {q}}
local c2 = Process{target = consumer, args = {q}}
c1.daemon = true
c2.daemon = true -- 如果不写成守护进程,那么消费者就不知道队列是否已经为空了

p1:start()
p2:start()
p3:start()
c1:start()
c2:start()

p1:join()
p2:join()
p3:join()
print("主")
