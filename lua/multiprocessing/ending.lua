-- The end of a program, or of a process that was started: what Lua has to do then.
--
-- A program ends by its finalizers, which run from the latest made object to the first one. What is done
-- at the end still needs some of these objects, so the one that does it is made anew whenever there
-- is something new to need: then it is the first to be finalized. A started process closes no state;
-- it ends by its function's return, or by an error. After os.exit no Lua runs in either.
local core = require "multiprocessing.core"

local ending = {}

local tasks = {} -- functions
local last       -- the object whose finalizer counts

-- f(interrupted) is called at the end of this process.
function ending.add(f)
  tasks[#tasks + 1] = f
end

-- The process ends, with this error if it is not nil.
function ending.run(err)
  local interrupted = core.is_interruption(err)
  for _, f in ipairs(tasks) do f(interrupted) end
end

local End = {__gc = function(self)
  if self == last and core.finishes_at_exit() then ending.run() end
end}

-- What exists now is still there at the end.
function ending.keep()
  last = setmetatable({}, End)
end

return ending
