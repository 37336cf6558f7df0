-- What the specs of locks, semaphores, events, conditions and barriers share: processes, and what
-- calls raise.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local sync = {}

-- Starts f(...) in a process of its own.
function sync.start(f, ...)
  local p = mp.Process {target = f, args = table.pack(...)}
  p:start()
  return p
end

-- Waits for its end, which must be a good one, or with that code.
function sync.finish(p, code)
  assert(p:join(helper.LIMIT), "the process did not end")
  assert(p.exitcode == (code or 0), "the process ended with " .. tostring(p.exitcode))
  p:close()
end

-- Kills it, as kill -9 does, and buries it.
function sync.kill(p)
  p:kill()
  assert(p:join(helper.LIMIT), "the process did not end")
  p:close()
end

-- The error of that kind that f(...) raises, with that text in its message.
function sync.raised(kind, text, f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok, "nothing was raised")
  assert(mp[kind]:is(err), tostring(err))
  assert(err.message:find(text, 1, true), err.message)
  return err
end

-- That f() takes that many seconds: no less, and little more.
function sync.takes(seconds, f)
  local start = mp.monotonic()
  f()
  local spent = mp.monotonic() - start
  assert(spent >= seconds - 0.002 and spent <= seconds + helper.TOLERANCE, "it took " .. spent)
end

-- Nothing in the arena is wrong. For after_each.
function sync.check()
  collectgarbage()
  collectgarbage()
  assert(mp.check())
end

return sync
