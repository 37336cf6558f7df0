-- Tutorial 004-14: a Semaphore(5) and thirteen users.
-- Run:    lua5.4 examples/tutorial/004-14_semaphore.lua       (SECOND=0.05 makes it quick)
-- Prints: a line when each user comes in and one when he leaves, never more than five inside; then
--         the last line.
local mp = require "multiprocessing"
local Process, Semaphore = mp.Process, mp.Semaphore
local SECOND = tonumber(os.getenv "SECOND") or 1

local function go_wc(sem, user)
  sem:acquire()
  print(("%s 占到一个茅坑"):format(user))
  mp.sleep(math.random(0, 3) * SECOND) -- 模拟每个人拉屎速度不一样,0代表有的人蹲下就起来了
  print(("%s 出来了"):format(user)) -- not in the tutorial: so that one sees how many are inside
  sem:release()
end

local sem = Semaphore(5)
local p_l = {}
for i = 0, 12 do
  local p = Process{target = go_wc, args = {sem, ("user%s"):format(i)}}
  p:start()
  table.insert(p_l, p)
end

for _, p in ipairs(p_l) do
  p:join()
end
print("============》")
