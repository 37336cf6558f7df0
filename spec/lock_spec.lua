-- Lock, RLock; with and guard.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local sync = require "spec.support.sync"
local start, finish, kill, raised = sync.start, sync.finish, sync.kill, sync.raised

after_each(sync.check)

-- A process that takes the lock and is killed with it.
local function killed_with(lock)
  local ready = mp.Event()
  local p = start(function(l, r)
    l:acquire()
    r:set()
    mp.sleep(helper.LIMIT)
  end, lock, ready)
  assert.is_true(ready:wait(helper.LIMIT))
  local pid = p.pid
  kill(p)
  return pid
end

for _, name in ipairs {"Lock", "RLock"} do
  describe("a " .. name, function()
    local lock
    before_each(function() lock = mp[name]() end)

    it("is acquired and released", function()
      assert.is_false(lock:locked())
      assert.is_true(lock:acquire())
      assert.is_true(lock:locked())
      assert.matches(name .. " #%d+ %(locked%)", tostring(lock))
      assert.equal(0, select("#", lock:release()))
      assert.is_false(lock:locked())
      assert.matches("unlocked", tostring(lock), 1, true)
    end)

    it("is one process's at a time", function()
      local counter = mp.RawValue("i", 0)
      local function add(l, c)
        for _ = 1, 5000 do
          l:acquire()
          c.value = c.value + 1
          l:release()
        end
      end
      local workers = {}
      for i = 1, 3 do workers[i] = start(add, lock, counter) end
      for _, p in ipairs(workers) do finish(p) end
      assert.equal(15000, counter.value)
    end)

    it("does not wait when it is told so, and no longer than it is told", function()
      local ready, done = mp.Event(), mp.Event()
      local holder = start(function(l, r, d)
        l:acquire()
        r:set()
        d:wait()
        l:release()
      end, lock, ready, done)
      assert.is_true(ready:wait(helper.LIMIT))
      assert.is_false(lock:acquire(false))
      assert.is_false(lock:acquire {block = false})
      assert.is_false(lock:acquire(true, 0))
      assert.is_false(lock:acquire(true, -1))
      sync.takes(0.1, function() assert.is_false(lock:acquire(true, 0.1)) end)
      sync.takes(0.1, function() assert.is_false(lock:acquire {timeout = 0.1}) end)
      done:set()
      assert.is_true(lock:acquire(true, helper.LIMIT))
      lock:release()
      finish(holder)
    end)

    it("travels, and is the same everywhere", function()
      local q = mp.Queue()
      q:put({lock, lock})
      local got = q:get()
      assert.equal(lock, got[1])
      assert.is_true(rawequal(got[1], got[2]))
      assert.is_true(got[1]:acquire())
      finish(start(function(l) assert(l:locked() and l:acquire(false) == false) end, lock))
      lock:release()
      assert.is_false(got[2]:locked())
    end)

    it("is given up by a process that is killed, and says so", function()
      assert.is_nil(lock:abandoned())
      local pid = killed_with(lock)
      local ok, how = lock:acquire()
      assert.is_true(ok)
      assert.equal("abandoned", how)
      assert.same({pid, -9}, {lock:abandoned()})
      lock:release()
      assert.same({true}, {lock:acquire()})
      assert.same({pid, -9}, {lock:abandoned()})
      lock:release()
    end)

    it("is given up by a process that ends in good order, too", function()
      finish(start(function(l) l:acquire() end, lock))
      assert.same({true, "abandoned"}, {lock:acquire(false)})
      assert.equal(0, select(2, lock:abandoned()))
      lock:release()
    end)

    it("comes to a sleeper within a second of its holder's death", function()
      local ready = mp.Event()
      local holder = start(function(l, r)
        l:acquire()
        r:set()
        mp.sleep(helper.LIMIT)
      end, lock, ready)
      ready:wait()
      local sleeper = start(function(l)
        local ok, how = l:acquire()
        assert(ok and how == "abandoned")
        l:release()
      end, lock)
      mp.sleep(0.7)
      holder:kill() -- and nobody joins it
      local from = mp.monotonic()
      finish(sleeper)
      assert.is_true(mp.monotonic() - from < 1 * helper.SLOW)
      holder:join()
      holder:close()
    end)

    it("is held by `with`, which gives the results and releases whatever happens", function()
      assert.same({1, nil, 3}, {lock:with(function(...)
        assert.is_true(lock:locked())
        return ...
      end, 1, nil, 3)})
      assert.is_false(lock:locked())
      local thing = {}
      local ok, err = pcall(lock.with, lock, function() error(thing) end)
      assert.is_false(ok)
      assert.equal(thing, err)
      assert.is_false(lock:locked())
      raised("TypeError", "function", lock.with, lock)
      assert.is_false(lock:locked())
    end)

    it("is held by `with` across a yield", function()
      local co = coroutine.wrap(function() return lock:with(function() return coroutine.yield(1) end) end)
      assert.equal(1, co())
      assert.is_true(lock:locked())
      assert.equal(2, co(2))
      assert.is_false(lock:locked())
    end)

    it("is held by a guard till the end of its block", function()
      local function block(fails)
        local held <close> = lock:guard()
        assert.is_true(lock:locked())
        assert.matches("held", tostring(held), 1, true)
        if fails then error("on the way", 0) end
      end
      block(false)
      assert.is_false(lock:locked())
      assert.same({false, "on the way"}, {pcall(block, true)})
      assert.is_false(lock:locked())
    end)

    it("has a guard whose own failure never hides an error, but is one where there is none", function()
      local function block(text)
        local held <close> = lock:guard() -- luacheck: ignore held
        lock:release()
        if text then error(text, 0) end
      end
      assert.same({false, "on the way"}, {pcall(block, "on the way")})
      assert.is_true((mp.ValueError:is(select(2, pcall(block))) or mp.ProcessError:is(select(2, pcall(block)))))
    end)

    it("has a guard that does nothing in a process that was forked under it", function()
      local held <close> = lock:guard() -- luacheck: ignore held
      finish(start(function()
        assert(tostring(held):find("released", 1, true))
        getmetatable(held).__close(held)
        assert(lock:locked())
      end))
      assert.is_true(lock:locked())
    end)

    it("logs that it was abandoned, where nobody looks", function()
      local result = helper.run(([[
        local mp = require "multiprocessing"
        local lock = mp.%s()
        local p = mp.Process{target = function(l) l:acquire() end, args = {lock}}
        p:start()
        p:join()
        lock:with(function() print "went on" end)
        local held <close> = lock:guard()
      ]]):format(name))
      assert.equal(0, result.status, helper.describe(result))
      assert.equal("went on\n", result.stdout)
      assert.matches(name .. " #%d+ was abandoned: process %d+ ended while it held it", result.stderr)
      assert.equal(1, select(2, result.stderr:gsub("abandoned", "")))
    end)

    it("stays taken when its handle is collected", function()
      finish(start(function(l)
        l:acquire()
        local same = mp.Queue()
        same:put(l)
        l = nil -- luacheck: ignore l
        collectgarbage()
        local again = same:get()
        assert(again:locked() and pcall(again.release, again))
      end, lock))
    end)

    it("refuses what is no " .. name, function()
      raised("TypeError", name, lock.acquire, {})
      raised("TypeError", name, lock.acquire, io.stdout)
      raised("TypeError", name, lock.release, mp.Event())
      raised("TypeError", "timeout", lock.acquire, lock, true, "soon")
      raised("TypeError", "timeout", lock.acquire, lock, {timout = 1})
      assert.is_false(lock:locked())
    end)
  end)
end

describe("a Lock", function()
  it("may be released by any process", function()
    local lock = mp.Lock()
    lock:acquire()
    finish(start(function(l) l:release() end, lock))
    assert.is_false(lock:locked())
    raised("ValueError", "released too many times", lock.release, lock)
  end)

  it("waits for itself", function()
    local lock = mp.Lock()
    lock:acquire()
    assert.is_false(lock:acquire(true, 0.05))
    lock:release()
  end)
end)

describe("an RLock", function()
  it("counts, and is its holder's alone", function()
    local lock = mp.RLock()
    for _ = 1, 3 do assert.is_true(lock:acquire()) end
    finish(start(function(l)
      assert(not l:acquire(false))
      local ok, err = pcall(l.release, l)
      assert(not ok and mp.ProcessError:is(err))
    end, lock))
    for _ = 1, 3 do
      assert.is_true(lock:locked())
      lock:release()
    end
    assert.is_false(lock:locked())
    raised("ProcessError", "not owned", lock.release, lock)
  end)
end)

describe("the memory of locks", function()
  it("is given back when nobody has them", function()
    local function locks() return (mp.stats().objects.Lock or 0) + (mp.stats().objects.RLock or 0) end
    collectgarbage()
    local before = locks()
    for _ = 1, 100 do
      mp.Lock()
      mp.RLock()
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, locks())
  end)
end)

describe("dump", function()
  it("tells who holds what, and who waits for what", function()
    local lock, rlock, condition, barrier = mp.Lock(), mp.RLock(), mp.Condition(), mp.Barrier(2)
    local bounded = mp.BoundedSemaphore(3)
    lock:acquire()
    for _ = 1, 2 do rlock:acquire() end
    for _ = 1, 3 do bounded:acquire() end
    local waiters = {
      start(function() lock:acquire() end),
      start(function() bounded:acquire() end),
      start(function() condition:acquire() condition:wait() end),
      start(function() pcall(barrier.wait, barrier) end),
    }
    local function number(object) return tostring(object):match("%a+ #%d+") end
    local function says(text) return mp.dump():find("\n  " .. text, 1, true) end
    for _, object in ipairs {lock, bounded, condition, barrier} do
      local name = number(object):gsub("^BoundedSemaphore", "Semaphore")
      assert.truthy(helper.eventually(function() return says("waits for " .. name) end))
    end
    assert.truthy(says("holds " .. number(lock)))
    assert.truthy(says("holds " .. number(rlock) .. " (2)"))
    assert.truthy(says("holds " .. number(bounded):gsub("^Bounded", "") .. " (3)"))
    local _, count = mp.dump():gsub("\n  holds ", "")
    assert.equal(3, count)
    for _, p in ipairs(waiters) do kill(p) end
    lock:release()
    for _ = 1, 2 do rlock:release() end
    for _ = 1, 3 do bounded:release() end
  end)
end)
