-- What a call raises.
local assert = require "luassert"

local raised = {}

-- The error that f(...) raises.
function raised.failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

-- f(...) raises that kind of error, with that message.
function raised.refuses(kind, message, f, ...)
  local err = raised.failure(f, ...)
  assert.equal(kind, err.kind)
  assert.equal(message, err.message)
end

return raised
