-- How args and kwargs become a call: the names in kwargs that are parameters of the function fill
-- those; what is left goes as one last table.
local core = require "multiprocessing.core"

local call = {}

-- The Lua function behind the value, and how many of its parameters are taken already.
local function callee(f)
  if type(f) == "function" then return f, 0 end
  local meta = getmetatable(f)
  local by = type(meta) == "table" and meta.__call
  return type(by) == "function" and by or nil, 1
end

-- name -> place among the arguments
local function parameters(f)
  local of, taken = callee(f)
  local places = {}
  if not of then return places end
  for i = 1, debug.getinfo(of, "u").nparams - taken do
    places[debug.getlocal(of, i + taken)] = i
  end
  return places
end

local function fill(f, list, kwargs)
  local places, given, rest = parameters(f), list.n, nil
  for name, value in pairs(kwargs) do
    local place = places[name]
    if not place then
      rest = rest or {}
      rest[name] = value
    elseif place <= given then
      core.raise("TypeError", ("the target got multiple values for argument '%s'"):format(name))
    else
      list[place], list.n = value, math.max(list.n, place)
    end
  end
  if rest then
    list.n = list.n + 1
    list[list.n] = rest
  end
end

local MOST <const> = 990000 -- values for which Lua's stack has room

-- How many arguments there are: args.n counts them where it is an integer, so that nils are kept.
local function count_of(args)
  local count = math.type(args.n) == "integer" and args.n or #args
  if count < 0 or count > MOST then
    core.raise("ValueError", ("args.n must be from 0 to %d, got %d"):format(MOST, count))
  end
  return count
end

-- The arguments as a list with n, and the named ones: copies, which nobody else changes.
function call.list(args)
  local n = count_of(args)
  return table.move(args, 1, n, 1, {n = n})
end

function call.names(kwargs)
  local names = {}
  for name, value in pairs(kwargs) do names[name] = value end
  return names
end

-- All arguments as a list with n.
function call.arguments(f, args, kwargs)
  local list = args and call.list(args) or {n = 0}
  if kwargs and next(kwargs) ~= nil then fill(f, list, kwargs) end
  return list
end

return call
