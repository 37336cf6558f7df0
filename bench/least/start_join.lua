-- fork, _exit, waitpid from Lua.
local stopwatch = require "stopwatch"
local least = require "least"

local function start_and_join()
  local pid = least.fork()
  if pid == 0 then least.exit() end
  least.wait(pid)
end

for _ = 1, 5 do start_and_join() end
local n = stopwatch.amount(300)
local start = stopwatch.now()
for _ = 1, n do start_and_join() end
stopwatch.report("start_join", (stopwatch.now() - start) / n * 1e6)
