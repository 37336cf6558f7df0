-- 10 000 keys of a shared dict, written and read: operations a second; from one process, and the same
-- number split over four that start 2500 keys apart; the value is 7, or a small table.
local stopwatch = require "stopwatch"

local KEYS <const> = 10000
local operations = stopwatch.amount(40000)

local function key(i)
  return ("key%05d"):format((i - 1) % KEYS + 1)
end

local function key_list()
  local keys = {}
  for i = 1, KEYS do keys[i] = key(i) end
  return keys
end

local function set_all(dict, keys, value, first, count)
  for i = first, first + count - 1 do dict[keys[(i - 1) % KEYS + 1]] = value end
end

local function get_all(dict, keys, value, first, count)
  local missing = 0
  for i = first, first + count - 1 do
    if dict[keys[(i - 1) % KEYS + 1]] == nil then missing = missing + 1 end
  end
  assert(missing == 0 and value ~= nil, "a key is missing")
end

local function split(gate, work, dict, value, first, count)
  local keys = key_list()
  stopwatch.arrive(gate)
  work(dict, keys, value, first, count)
end

local function from_one(metric, work, dict, value)
  local keys, start = key_list(), stopwatch.now()
  work(dict, keys, value, 1, operations)
  stopwatch.report(metric, operations / (stopwatch.now() - start))
end

local function from_four(mp, metric, work, dict, value)
  local gate, workers = stopwatch.gate(mp), {}
  for i = 1, 4 do
    local first = (i - 1) * 2500 + 1
    workers[i] = stopwatch.start(mp, split, gate, work, dict, value, first, operations // 4)
  end
  local start = stopwatch.open(gate, 4)
  stopwatch.join(workers)
  stopwatch.report(metric, operations // 4 * 4 / (stopwatch.now() - start))
end

local function measure_with(mp, suffix, value)
  local manager <close> = mp.Manager()
  local dict = manager:dict()
  set_all(dict, key_list(), value, 1, KEYS)
  from_one("dict_set" .. suffix, set_all, dict, value)
  from_one("dict_get" .. suffix, get_all, dict, value)
  from_four(mp, "dict_set_4p" .. suffix, set_all, dict, value)
  from_four(mp, "dict_get_4p" .. suffix, get_all, dict, value)
end

stopwatch.measure("dict_set dict_get dict_set_4p dict_get_4p dict_set_table dict_get_table"
  .. " dict_set_4p_table dict_get_4p_table", "Process Semaphore Manager", function(mp)
  measure_with(mp, "", 7)
  measure_with(mp, "_table", {id = 1, name = "item", values = {1, 2, 3, 4, 5}})
end)
