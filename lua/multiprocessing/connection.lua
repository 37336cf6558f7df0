-- multiprocessing.connection: waiting on many things.
local core = require "multiprocessing.core"

local connection = {}

local read_timeout = core.options "timeout:seconds"

-- wait(list [, timeout]): the list of what is ready. Pools' callbacks are called meanwhile.
function connection.wait(list, ...)
  local pool = package.loaded["multiprocessing.pool"]
  if not pool or type(list) ~= "table" then return core.wait(list, ...) end
  return pool.wait(list, (read_timeout(...)))
end

return connection
