-- Classes: extend, create, ask. A class is a table with its instances' methods; instances are made
-- by calling it, which calls init. Metamethods are inherited.
local core = require "multiprocessing.core"

local class = {}
class.__index = class
class.__name = "class"

local function create(self, ...)
  local object = setmetatable({}, self)
  object:init(...)
  return object
end

class.init = function() end

-- A new class that has all of this one's methods.
function class:extend(name)
  if type(self) ~= "table" then
    core.raise("TypeError", ("bad argument #1 to 'extend' (a class expected, got %s)"):format(core.show(self)))
  end
  local new = {}
  for key, value in pairs(self) do
    if type(key) == "string" and key:find("^__") then new[key] = value end
  end
  new.__index, new.__name, new.super = new, name or self.__name, self
  return setmetatable(new, {__index = self, __call = create, __tostring = function() return "class " .. new.__name end})
end

-- Is the value, of any type, an instance of this class or of one derived from it?
function class:is(value)
  local of = type(value) == "table" and getmetatable(value)
  while of do
    if rawequal(of, self) then return true end
    of = type(of) == "table" and rawget(of, "super")
  end
  return false
end

return class
