-- Sequences: what a pool maps over. A list, a shared list, or an iterator function that is called
-- without arguments until it returns nil.
local core = require "multiprocessing.core"

local sequence = {}

local function integer(value, name)
  local number = math.type(value) == "float" and math.tointeger(value) or value
  if math.type(number) == "integer" then return number end
  core.raise("TypeError", ("%s must be an integer, got %s"):format(name, core.show(value)))
end

-- Python's range(stop), range(start, stop [, step]), as a list.
function sequence.range(start, stop, step)
  if stop == nil then start, stop = 0, start end
  start, stop = integer(start, "start"), integer(stop, "stop")
  step = step == nil and 1 or integer(step, "step")
  if step == 0 then core.raise("ValueError", "step must not be zero") end
  if (step > 0 and start >= stop) or (step < 0 and start <= stop) then return {} end
  local list, n = {}, 0
  for value = start, stop - (step > 0 and 1 or -1), step do
    n = n + 1
    list[n] = value
  end
  return list
end

local function collect(iterator)
  local list, n = {}, 0
  for value in iterator do
    n = n + 1
    list[n] = value
  end
  return list, n
end

-- How many values a list has: its field n, when it is there and a whole number.
local function count(list, name)
  local n = math.tointeger(list.n)
  if n and n < 0 then core.raise("ValueError", ("the field n of %s must not be negative, got %d"):format(name, n)) end
  return n or #list
end

-- How long an object says that it is.
local function length(value, name)
  local n = integer(#value, "the length of " .. name)
  if n < 0 then core.raise("ValueError", ("the length of %s must not be negative, got %d"):format(name, n)) end
  return n
end

local function copy(shared, name)
  local list, n = {}, length(shared, name)
  for i = 1, n do list[i] = shared[i] end
  return list, n
end

-- The sequence as a list, and its length; `name` is what an error calls it. A list's field n, when
-- it is there, gives the count.
function sequence.list(value, name)
  local kind = type(value)
  if kind == "table" and not getmetatable(value) then
    return value, count(value, name)
  elseif kind == "function" then
    return collect(value)
  elseif (kind == "table" or kind == "userdata") and (getmetatable(value) or {}).__len then
    return copy(value, name)
  elseif kind == "table" then
    return value, #value
  end
  core.raise("TypeError", ("%s must be a list, a shared list or an iterator function, got %s")
    :format(name, core.show(value)))
end

return sequence
