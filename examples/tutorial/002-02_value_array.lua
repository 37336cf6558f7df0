-- Tutorial 002-02: a Value and an Array, changed by two processes.
-- Run:    lua5.4 examples/tutorial/002-02_value_array.lua
-- Prints: 3.333333333333333, then 0 to 10, one a line (negated twice).
local mp = require "multiprocessing"
local Array, Value, Process = mp.Array, mp.Value, mp.Process

local function func(a, b)
  a.value = 3.333333333333333
  -- b[i] = -b[i] reads and then writes, so the loop holds the array's lock: without it, both
  -- processes could read the same element before either writes it.
  local _ <close> = b:get_lock():guard()
  for i = 1, #b do
    b[i] = -b[i]
  end
end

local num = Value("d", 0.0)
local arr = Array("i", mp.range(11))

local c = Process{target = func, args = {num, arr}}
local d = Process{target = func, args = {num, arr}}
c:start()
d:start()
c:join()
d:join()

print(("%.16g"):format(num.value))
for _, i in ipairs(arr) do
  print(i)
end
