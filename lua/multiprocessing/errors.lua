-- The error objects. An error is a table {message =, where =, ...} with its kind's metatable; C
-- makes them as well (src/binding/result.c), from the classes here.
local core = require "multiprocessing.core"

local errors = {}

local Error = {kind = "Error"}

-- "file.lua:3: ValueError: the text", and what happened elsewhere below it, if the text has not said
-- it.
local function text_of(err)
  local where = rawget(err, "where")
  local text = (where and where .. " " or "") .. err.kind .. ": " .. tostring(err.message)
  local traceback = rawget(err, "traceback")
  if not traceback or text:sub(-#traceback) == traceback then return text end
  return text .. "\n\n" .. traceback
end

local function join(a, b)
  return tostring(a) .. tostring(b)
end

-- Is the value, of any type, an error of this kind or of one that belongs to it?
function Error:is(value)
  local kind = type(value) == "table" and getmetatable(value)
  kind = kind and errors[value.kind] and errors[value.kind].metatable == kind and errors[value.kind]
  while kind do
    if kind == self then return true end
    kind = kind.parent
  end
  return false
end

-- An error of this kind, to be raised with error(): fields as a table, or the message.
local function make(kind, fields)
  local err = {}
  if type(fields) == "table" then
    for key, value in pairs(fields) do err[key] = value end
  else
    err.message = fields
  end
  return setmetatable(err, kind.metatable)
end

local function add(name, parent)
  local kind = {kind = name, parent = parent}
  kind.metatable = {__name = name, __index = kind, __tostring = text_of, __concat = join}
  core.register_error(kind.metatable)
  errors[name] = setmetatable(kind, {__index = parent, __call = make,
    __tostring = function() return "multiprocessing." .. name end})
  return kind
end

Error = add("Error", Error)
local OSError = add("OSError", Error)
local WorkerLostError = add("WorkerLostError", Error)
for name, parent in pairs {
  Empty = Error, Full = Error, ShutDown = Error, TimeoutError = Error, ValueError = Error,
  TypeError = Error, ProcessError = Error, BufferTooShort = Error, AuthenticationError = Error,
  BrokenBarrierError = Error, CancelledError = Error, RemoteError = Error, MemoryError = Error,
  SerializationError = Error, EOFError = OSError, BrokenPipeError = OSError,
  BrokenProcessPool = WorkerLostError,
} do add(name, parent) end

return errors
