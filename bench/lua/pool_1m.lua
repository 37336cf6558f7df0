-- A thousand tasks of one MiB each, a map in chunks of one: MB a second.
local stopwatch = require "stopwatch"

local MIB <const> = 1 << 20

local function length(text) return #text end

stopwatch.measure("pool_1m", "Pool range", function(mp)
  local n, texts = stopwatch.amount(1000), {}
  local pool <close> = mp.Pool(2)
  pool:map(length, {"", "", "", "", "", "", "", ""}, 1)
  local text = ("x"):rep(MIB)
  for i = 1, n do texts[i] = text end
  local start = stopwatch.now()
  local lengths = pool:map(length, texts, 1)
  stopwatch.report("pool_1m", n * MIB / 1e6 / (stopwatch.now() - start))
  for i = 1, n do assert(lengths[i] == MIB) end
end)
