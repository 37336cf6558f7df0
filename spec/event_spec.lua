-- Event.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local sync = require "spec.support.sync"
local start, finish, kill, raised = sync.start, sync.finish, sync.kill, sync.raised

after_each(sync.check)

describe("an Event", function()
  local event
  before_each(function() event = mp.Event() end)

  it("is set and cleared", function()
    assert.is_false(event:is_set())
    assert.matches("unset", tostring(event), 1, true)
    event:set()
    assert.is_true(event:is_set())
    assert.matches("Event #%d+ %(set%)", tostring(event))
    assert.is_true(event:wait())
    assert.is_true(event:wait(0))
    event:clear()
    event:clear()
    assert.is_false(event:is_set())
    sync.takes(0, function() assert.is_false(event:wait(0)) end)
    sync.takes(0.1, function() assert.is_false(event:wait(0.1)) end)
    sync.takes(0.1, function() assert.is_false(event:wait {timeout = 0.1}) end)
  end)

  it("wakes all who wait, also when it is cleared at once", function()
    local ready, woken = mp.Semaphore(0), mp.Semaphore(0)
    local waiters = {}
    for i = 1, 3 do
      waiters[i] = start(function(e, r, w)
        r:release()
        assert(e:wait(helper.LIMIT) == true)
        w:release()
      end, event, ready, woken)
    end
    for _ = 1, 3 do ready:acquire() end
    mp.sleep(0.1)
    event:set()
    event:clear()
    for _ = 1, 3 do assert.is_true(woken:acquire(true, helper.LIMIT)) end
    for _, p in ipairs(waiters) do finish(p) end
  end)

  it("does not mind those who are killed", function()
    local ready = mp.Semaphore(0)
    local function wait(e, r)
      r:release()
      e:wait(helper.LIMIT)
    end
    local victim, survivor = start(wait, event, ready), start(wait, event, ready)
    for _ = 1, 2 do ready:acquire() end
    kill(victim)
    event:set()
    finish(survivor)
  end)

  it("travels", function()
    local q = mp.Queue()
    q:put(event)
    q:get():set()
    assert.is_true(event:is_set())
  end)

  it("refuses what is no timeout", function()
    raised("TypeError", "timeout", event.wait, event, "x")
    raised("ValueError", "nan", event.wait, event, 0 / 0)
  end)
end)
