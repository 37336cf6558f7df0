-- The codec alone (spec/support/codec_module.c), with the modes of src/codec/codec.h by name.
local build = os.getenv "BUILD" or "build"
if build == "build" then build = "build/test" end
package.cpath = build .. "/spec/?.so;" .. package.cpath
local core = require "codec_test"

local codec = setmetatable({
  DATA = 0, CODE = 1, OBJECTS = 2, VALUES = 4, CARRY = 8, TAIL = 16, FULL = 3,
}, {__index = core})

-- The value as another process would see it.
function codec.through(value, mode)
  mode = mode or codec.FULL
  return core.decode(mode & ~(codec.CARRY | codec.TAIL), (core.encode(mode, "value", value)))
end

-- The kind and message of the error that f(...) raises.
function codec.failure(f, ...)
  local good, err = pcall(f, ...)
  assert(not good, "no error was raised")
  assert(type(err) == "table", err)
  return err.kind, err.message
end

-- Whether two values are the same down to number types, metatables and shared references; or
-- where they differ. `seen` maps each table met in a to its fellow in b.
function codec.differ(a, b, path, seen)
  path, seen = path or "value", seen or {}
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then
    return ("%s: %s %s, %s %s"):format(path, math.type(a) or type(a), a, math.type(b) or type(b), b)
  elseif a ~= a then
    return b == b and path .. ": not NaN"
  elseif type(a) ~= "table" then
    return a ~= b and ("%s: %s, %s"):format(path, a, b)
  elseif seen[a] or seen[b] then
    return (seen[a] ~= b or seen[b] ~= a) and path .. ": another table"
  end
  seen[a], seen[b] = b, a
  if getmetatable(a) ~= getmetatable(b) then return path .. ": another metatable" end
  for k, v in next, a do
    local d = type(k) ~= "table" and codec.differ(v, rawget(b, k), path .. "." .. tostring(k), seen)
    if d then return d end
  end
  for k in next, b do
    if type(k) ~= "table" and rawget(a, k) == nil then return path .. "." .. tostring(k) .. ": came from nowhere" end
  end
end

return codec
