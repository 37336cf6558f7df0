-- Tutorial 000-13: apply waits for its task.
-- Run:    lua5.4 examples/tutorial/000-13_pool_apply.lua      (SECOND=0.05 makes it quick)
-- Prints: hello 0, end, hello 1, end and so on; then the mark and the last line.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function func(msg)
  print("msg: " .. msg)
  multiprocessing.sleep(3 * SECOND)
  print("end")
end

local pool = multiprocessing.Pool{processes = 3}
for i = 0, 3 do
  local msg = ("hello %d"):format(i)
  pool:apply(func, {msg})
end

print("mark~ mark~ mark~~~~~~~~~~~~~~~~~~~~~~")
pool:close()
pool:join() -- 调用join之前,先调用close函数,否则会出错
print("sub-process(es) done.")
