-- Tutorial 000-09: an Event, waited for with and without a timeout.
-- Run:    lua5.4 examples/tutorial/000-09_event.lua           (SECOND=0.2 makes it quick)
-- Prints: false from the process that timed out, true from the other one.
local multiprocessing = require "multiprocessing"
local SECOND = tonumber(os.getenv "SECOND") or 1

local function wait_for_event(e)
  print("wait_for_event: starting")
  e:wait()
  print("wairt_for_event: e.is_set()->" .. tostring(e:is_set()))
end

local function wait_for_event_timeout(e, t)
  print("wait_for_event_timeout:starting")
  e:wait(t)
  print("wait_for_event_timeout:e.is_set->" .. tostring(e:is_set()))
end

local e = multiprocessing.Event()
local w1 = multiprocessing.Process{name = "block", target = wait_for_event, args = {e}}
local w2 = multiprocessing.Process{
  name = "non-block", target = wait_for_event_timeout, args = {e, 2 * SECOND},
}
w1:start()
w2:start()
multiprocessing.sleep(3 * SECOND)
e:set()
print("main: event is set")
