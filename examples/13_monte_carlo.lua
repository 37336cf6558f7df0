-- Shows:  a Monte-Carlo run: each worker draws random numbers of its own
-- Run:    lua5.4 examples/13_monte_carlo.lua
-- Prints: pi is about 3.1
local mp = require "multiprocessing"

local function hits(draws)
  local count = 0
  for _ = 1, draws do
    local x, y = math.random(), math.random()
    if x * x + y * y <= 1 then count = count + 1 end
  end
  return count
end

local TASKS, DRAWS = 40, 10000

local pool <close> = mp.Pool()
local tasks = {}
for i = 1, TASKS do tasks[i] = DRAWS end
local total = 0
for _, count in pool:imap_unordered(hits, tasks) do total = total + count end
print(("pi is about %.1f"):format(4 * total / (TASKS * DRAWS)))
