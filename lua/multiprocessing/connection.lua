-- multiprocessing.connection: waiting on many things.
local core = require "multiprocessing.core"

return {wait = core.wait}
