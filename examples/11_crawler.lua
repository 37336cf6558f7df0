-- Shows:  a crawler: each page that arrives sends the pool after the links on it, in a callback
-- Run:    lua5.4 examples/11_crawler.lua
-- Prints: 40 pages, the farthest 5 links away
local mp = require "multiprocessing"

-- Stands for a download: page n links to three others.
local function fetch(n)
  mp.sleep(0.005)
  return n, {n * 2 % 40, n * 3 % 40, (n + 7) % 40}
end

local pool <close> = mp.Pool(8)
local distance, pages, open = {[1] = 0}, 0, 0
local visit

local function arrived(n, links)
  pages, open = pages + 1, open - 1
  for _, link in ipairs(links) do
    if not distance[link] then
      distance[link] = distance[n] + 1
      visit(link)
    end
  end
end

function visit(n)
  open = open + 1
  pool:apply_async{func = fetch, args = {n}, callback = arrived, error_callback = error, retries = 2}
end

visit(1)
while open > 0 do mp.sleep(0.001) end -- callbacks run here

local farthest = 0
for _, links in pairs(distance) do farthest = math.max(farthest, links) end
print(("%d pages, the farthest %d links away"):format(pages, farthest))
