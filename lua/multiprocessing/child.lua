-- From "I exist" to "run the body", and how it ends: what every started process goes through,
-- whatever started it.
local core = require "multiprocessing.core"

local child = {}

local randomseed = math.randomseed

local function text_of(err)
  if type(err) == "string" or type(err) == "number" then return tostring(err) end
  local meta = getmetatable(err)
  if type(meta) == "table" and meta.__tostring then return tostring(err) end
  return ("(error object is a %s value)"):format(type(err))
end

-- The frames of the program that has forked are no part of the child's story.
local function own_frames(trace)
  local cut = trace:find("\n\t[C]: in function 'multiprocessing.core.process_start'", 1, true)
  return cut and trace:sub(1, cut - 1) or trace
end

-- The message handler of a child's body.
function child.describe(err)
  if core.is_interruption(err) then return " interrupted!" end
  return "\n" .. own_frames(debug.traceback(text_of(err), 2))
end

-- Exit status of os.exit(code), as the original gives it.
local function status_of(code)
  if code == nil or code == true then return 0 end
  if code == false then return 1 end
  local status = math.tointeger(code)
  if not status then
    error(("bad argument #1 to 'exit' (number expected, got %s)"):format(type(code)), 3)
  end
  return status & 255
end

-- In place of os.exit: no handler of the host's runs, and the parent learns the status.
local function exit(code)
  core.process_exit(status_of(code))
end

-- The first thing that a child does, with two random numbers of its own: a copy of its parent's
-- generator would draw what its parent and all its siblings draw.
function child.begin(seed, seed2)
  os.exit = exit -- luacheck: ignore 122
  randomseed(seed, seed2)
end

-- What is said of a body that failed, with what `describe` made of it.
function child.report(object, message)
  io.stderr:write(("Process %s:%s\n"):format(object.name, message))
end

return child
