-- Tutorial 000-14: results are collected with get, after close and join.
-- Run:    lua5.4 examples/tutorial/000-14_pool_results.lua    (SECOND=0.05 makes it quick)
-- Prints: three messages and three ends, then "::: donehello 0" to 2 in order, and the last line.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function func(msg)
  print("msg: " .. msg)
  multiprocessing.sleep(3 * SECOND)
  print("end")
  return "done" .. msg
end

local pool = multiprocessing.Pool{processes = 4}
local result = {}
for i = 0, 2 do
  local msg = ("hello %d"):format(i)
  table.insert(result, pool:apply_async(func, {msg}))
end
pool:close()
pool:join()
for _, res in ipairs(result) do
  print("::: " .. res:get())
end
print("sub-process(es) done.")
