-- Condition.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local sync = require "spec.support.sync"
local start, finish, kill, raised = sync.start, sync.finish, sync.kill, sync.raised

after_each(sync.check)

-- n processes that wait for the condition; each adds 1 to `woken` when it is notified.
local function waiters(condition, n, woken)
  local list, entered = {}, mp.Value("i", 0)
  for i = 1, n do
    list[i] = start(function(c, w, e)
      c:with(function()
        e:add(1)
        assert(c:wait(helper.LIMIT) == true)
        w:add(1)
      end)
    end, condition, woken, entered)
    helper.eventually(function() -- in the line, one after the other
      return entered.value == i and
        condition:with(function() return tostring(condition):find(i .. " waiting", 1, true) end)
    end)
  end
  return list
end

local function notify(condition, n)
  condition:with(function() condition:notify(n) end)
end

describe("a Condition", function()
  local condition, woken
  before_each(function() condition, woken = mp.Condition(), mp.Value("i", 0) end)

  it("is used under its lock", function()
    raised("ProcessError", "acquire()", condition.wait, condition)
    raised("ProcessError", "acquire()", condition.wait_for, condition, function() end)
    raised("ProcessError", "acquire()", condition.notify, condition)
    raised("ProcessError", "acquire()", condition.notify_all, condition)
    raised("ProcessError", "not owned", condition.release, condition)
    condition:acquire()
    condition:notify()
    condition:notify_all()
    condition:release()
  end)

  it("takes the lock that it is given", function()
    for _, name in ipairs {"Lock", "RLock"} do
      local lock = mp[name]()
      local c = mp.Condition(lock)
      c:acquire()
      assert.is_true(lock:locked())
      assert.is_false(c:wait(0.01))
      assert.is_true(lock:locked())
      lock:release()
      assert.is_true(lock:acquire(false))
      c:release()
    end
    local lock = mp.Lock()
    assert.equal("function", type(mp.Condition {lock = lock}.wait))
    raised("TypeError", "lock", mp.Condition, 5)
    raised("TypeError", "lock", mp.Condition, mp.Semaphore(1))
    raised("TypeError", "lock", mp.Condition, {luck = lock})
  end)

  it("gives the lock back while it waits, and takes it again as deep as it was", function()
    local ready = mp.Event()
    for _ = 1, 3 do condition:acquire() end
    local p = start(function(c, r)
      c:acquire()
      c:notify()
      c:release()
      r:set()
    end, condition, ready)
    assert.is_true(condition:wait(helper.LIMIT))
    assert.is_true(ready:wait(helper.LIMIT))
    finish(start(function(c) assert(not c:acquire(false)) end, condition))
    for _ = 1, 3 do condition:release() end
    raised("ProcessError", "not owned", condition.release, condition)
    finish(p)
  end)

  it("has timeouts", function()
    condition:with(function()
      sync.takes(0.1, function() assert.is_false(condition:wait(0.1)) end)
      sync.takes(0, function() assert.is_false(condition:wait(0)) end)
      sync.takes(0.1, function() assert.is_false(condition:wait {timeout = 0.1}) end)
    end)
  end)

  it("wakes as many as it is told, and no more", function()
    local list = waiters(condition, 4, woken)
    notify(condition)
    helper.eventually(function() return woken.value == 1 end)
    notify(condition, 2)
    helper.eventually(function() return woken.value == 3 end)
    mp.sleep(0.05)
    assert.equal(3, woken.value)
    notify(condition, 0)
    condition:with(condition.notify_all, condition)
    for _, p in ipairs(list) do finish(p) end
    assert.equal(4, woken.value)
    raised("ValueError", "-1", condition.notify, condition, -1)
  end)

  it("does not count those who died, and their notification goes on", function()
    local list = waiters(condition, 3, woken)
    kill(list[1])
    notify(condition, 1)
    helper.eventually(function() return woken.value == 1 end)
    finish(list[2])
    list[3]:kill() -- dies, and is notified before anybody knows
    local fourth = waiters(condition, 1, woken)
    notify(condition, 1)
    helper.eventually(function() return woken.value == 2 end)
    finish(fourth[1])
    list[3]:join()
    list[3]:close()
  end)

  it("waits for a predicate, and gives its value", function()
    local fuel = mp.Value("i", 0)
    local p = start(function(c, f)
      for _ = 1, 3 do
        mp.sleep(0.01)
        c:with(function()
          f:add(1)
          c:notify_all()
        end)
      end
    end, condition, fuel)
    condition:with(function()
      assert.equal("go at 3", condition:wait_for(function()
        return fuel.value >= 3 and "go at " .. fuel.value
      end, helper.LIMIT))
      sync.takes(0.1, function()
        assert.is_false(condition:wait_for(function() return fuel.value > 3 end, 0.1))
      end)
      local thing = {}
      local ok, err = pcall(condition.wait_for, condition, function() error(thing) end)
      assert.is_false(ok)
      assert.equal(thing, err)
    end)
    finish(p)
  end)

  it("says that the lock's holder died", function()
    condition:acquire()
    local p = start(function(c)
      c:acquire()
      c:notify()
    end, condition)
    assert.same({true, "abandoned"}, {condition:wait(helper.LIMIT)})
    condition:release()
    finish(p)
  end)

  it("travels with its lock", function()
    local q = mp.Queue()
    q:put(condition)
    condition = nil
    collectgarbage()
    local c = q:get()
    c:acquire()
    assert.is_false(c:wait(0))
    c:release()
  end)

  it("passes messages through a cell of one, none lost and none doubled", function()
    local cell, seen = mp.Value("i", 0), mp.Array("i", 1000)
    local function produce(c, v, from)
      for i = from, from + 499 do
        c:acquire()
        c:wait_for(function() return v.value == 0 end)
        v.value = i
        c:notify_all()
        c:release()
      end
    end
    local function consume(c, v, s)
      for _ = 1, 500 do
        c:acquire()
        c:wait_for(function() return v.value ~= 0 end)
        s[v.value] = s[v.value] + 1
        v.value = 0
        c:notify_all()
        c:release()
      end
    end
    local list = {start(produce, condition, cell, 1), start(produce, condition, cell, 501),
      start(consume, condition, cell, seen), start(consume, condition, cell, seen)}
    for _, p in ipairs(list) do finish(p) end
    for i = 1, 1000 do assert.equal(1, seen[i]) end
  end)
end)
