-- Tutorial 000-15: four different functions in a Pool(4), each with a random sleep.
-- Run:    lua5.4 examples/tutorial/000-15_pool_functions.lua  (SECOND=0.02 makes it quick)
-- Prints: the parent's pid, the waiting line, a run and a finish line for each function, the four
--         random numbers (each worker draws others), and the last line.
local mp = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

-- Each function returns what it drew, which the tutorial's do not, so that one can see it.
local function lee()
  print(("\nrun task lee-%s"):format(mp.getpid())) -- mp.getpid()获取当前的进程的id
  local start = mp.time()
  local drawn = math.random() -- 随机生成0-1之间的小数
  mp.sleep(drawn * 10 * SECOND)
  print(("task lee, runs %0.2f seconds."):format(mp.time() - start))
  return drawn
end

local function marlon()
  print(("\nrun task marlon-%s"):format(mp.getpid()))
  local start = mp.time()
  local drawn = math.random()
  mp.sleep(drawn * 40 * SECOND)
  print(("task marlon runs %0.2f seconds."):format(mp.time() - start))
  return drawn
end

local function allen()
  print(("\nrun task allen-%s"):format(mp.getpid()))
  local start = mp.time()
  local drawn = math.random()
  mp.sleep(drawn * 30 * SECOND)
  print(("task allen runs %0.2f seconds."):format(mp.time() - start))
  return drawn
end

local function frank()
  print(("\nrun task frank-%s"):format(mp.getpid()))
  local start = mp.time()
  local drawn = math.random()
  mp.sleep(drawn * 20 * SECOND)
  print(("task frank runs %0.2f seconds."):format(mp.time() - start))
  return drawn
end

local function_list = {lee, marlon, allen, frank}
print(("parent process %s"):format(mp.getpid()))
local pool = mp.Pool(4)
local results = {}
for i, func in ipairs(function_list) do
  results[i] = pool:apply_async(func) -- 当有一个进程执行完毕后,会添加一个新的进程到pool中
end
print("waiting for all subprocesses done...")
pool:close()
pool:join() -- 调用join之前,一定要先调用close() 函数,否则会出错
for _, result in ipairs(results) do
  print(("drawn: %.17g"):format(result:get()))
end
print("all subprocesses done.")
