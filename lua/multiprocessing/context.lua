-- Start methods. A context has all that the module has, with its own way of starting processes;
-- it is used with dots, like the module.
local core = require "multiprocessing.core"

local METHODS = {"fork"}
local KNOWN = {fork = true, spawn = true, forkserver = true, thread = true}

local context = {}
local contexts = {}
local chosen -- the method that was set, or used first

local function check(method)
  for _, name in ipairs(METHODS) do
    if method == name then return end
  end
  core.raise(KNOWN[method] and "ProcessError" or "ValueError", ("cannot find context for %s; there is %s")
    :format(core.show(method), table.concat(METHODS, ", ")))
end

function context.get_all_start_methods()
  return table.move(METHODS, 1, #METHODS, 1, {})
end

-- The method in use; by asking, the default becomes it, unless allow_none: then nil.
function context.get_start_method(allow_none)
  if not chosen and not allow_none then chosen = METHODS[1] end
  return chosen
end

-- Chooses for the whole program, once.
function context.set_start_method(method, force)
  if type(method) == "table" then method, force = method.method, method.force end
  if method == nil and force then
    chosen = nil
    return
  end
  check(method)
  if chosen and not force then core.raise("ProcessError", "context has already been set") end
  chosen = method
end

local function make(method)
  local own = {get_start_method = function() return method end}
  function own.get_context(other) return context.get_context(other or method) end
  function own.set_start_method() core.raise("ValueError", "cannot set start method of concrete context") end
  return setmetatable(own, {__index = require "multiprocessing", __name = "Context",
    __tostring = function() return ("<Context %s>"):format(method) end})
end

-- The context of that method, or of the one in use.
function context.get_context(method)
  if method == nil then method = context.get_start_method() end
  check(method)
  contexts[method] = contexts[method] or make(method)
  return contexts[method]
end

return context
