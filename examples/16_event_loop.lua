-- Shows:  luv's event loop: a timer ticks while futures, messages and a child's end come in
-- Run:    lua5.4 examples/16_event_loop.lua
-- Prints: sum of the squares: 30 | messages: one two three | the child ended with 7 | the timer ticked meanwhile
local mp = require "multiprocessing"
local uv = require "luv"

local timer, ticks, watched = uv.new_timer(), 0, 0
timer:start(5, 5, function() ticks = ticks + 1 end)

-- Calls look() whenever the descriptor is readable, until it says that this was all.
local function watch(descriptor, look)
  local poll = uv.new_poll(descriptor)
  watched = watched + 1
  poll:start("r", function()
    if not look() then return end
    poll:close()
    watched = watched - 1
    if watched == 0 then timer:close() end -- nothing is left, so the loop ends
  end)
end

local executor <close> = mp.futures.ProcessPoolExecutor(2)
local futures, sum = {}, 0
for i = 1, 4 do
  futures[i] = executor:submit(function() mp.sleep(0.02) return i * i end)
  futures[i]:add_done_callback(function(future) sum = sum + future:result() end)
end
watch(futures[1]:fileno(), function() -- one descriptor for all futures of an executor
  local _, open = mp.futures.wait(futures, 0) -- callbacks run in here
  return #open == 0
end)

local queue, words = mp.Queue(), {}
local child = mp.Process{target = function()
  for _, word in ipairs {"one", "two", "three"} do mp.sleep(0.01) queue:put(word) end
  os.exit(7)
end}
child:start()
watch(queue:fileno(), function()
  local found, word = queue:try_get() -- it may be readable for nothing
  if found then words[#words + 1] = word end
  return #words == 3
end)
watch(child.sentinel, function() return child:join(0) end)

uv.run()
print("sum of the squares: " .. sum)
print("messages: " .. table.concat(words, " "))
print("the child ended with " .. child.exitcode)
print(ticks >= 3 and "the timer ticked meanwhile" or "the timer was kept waiting")
