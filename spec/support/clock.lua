-- Time for specs, without the module under test.
local system = require "system"

return {now = system.monotime, sleep = system.sleep}
