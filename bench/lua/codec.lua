-- Encode and decode: pairs a second; of the small table, of 1000 integers below 10^6, of 10x10x10
-- string-keyed tables with 1000 integer leaves.
local stopwatch = require "stopwatch"

local function small()
  return {id = 12345, name = "item", values = {1, 2, 3, 4, 5}}
end

local function integers()
  local list = {}
  for i = 1, 1000 do list[i] = i * 7919 % 1000000 end
  return list
end

local function nested()
  local tree = {}
  for i = 1, 10 do
    local branch = {}
    for j = 1, 10 do
      local twig = {}
      for k = 1, 10 do twig["leaf" .. k] = (i * 10 + j) * 10 + k end
      branch["twig" .. j] = twig
    end
    tree["branch" .. i] = branch
  end
  return tree
end

local function measure_value(mp, metric, value, whole)
  local n, encode, decode = stopwatch.amount(whole), mp.encode, mp.decode
  local back
  local start = stopwatch.now()
  for _ = 1, n do back = decode(encode(value)) end
  stopwatch.report(metric, n / (stopwatch.now() - start))
  assert(type(back) == "table" and next(back) ~= nil)
end

stopwatch.measure("codec_small codec_ints codec_nested", "encode decode", function(mp)
  measure_value(mp, "codec_small", small(), 300000)
  measure_value(mp, "codec_ints", integers(), 10000)
  measure_value(mp, "codec_nested", nested(), 3000)
end)
