-- Semaphore, BoundedSemaphore.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local sync = require "spec.support.sync"
local start, finish, kill, raised = sync.start, sync.finish, sync.kill, sync.raised

after_each(sync.check)

-- A process that takes n units and is killed with them.
local function killed_with(semaphore, n)
  local ready = mp.Event()
  local p = start(function(s, r)
    for _ = 1, n do s:acquire() end
    r:set()
    mp.sleep(helper.LIMIT)
  end, semaphore, ready)
  assert.is_true(ready:wait(helper.LIMIT))
  kill(p)
end

local makers = {
  Semaphore = mp.Semaphore,
  BoundedSemaphore = mp.BoundedSemaphore,
  ["Semaphore with undo"] = function(n) return mp.Semaphore {n or 1, undo = true} end,
}

for name, make in pairs(makers) do
  describe("a " .. name, function()
    it("gives back one unit at a time, and says so", function()
      local s = make(2)
      for _ = 1, 2 do s:acquire() end
      raised("TypeError", "bad argument #1 to 'release' (no value expected, got number)",
        function() s:release(2) end)
      assert.equal(0, s:get_value())
    end)

    it("counts", function()
      local s = make(2)
      assert.equal(2, s:get_value())
      assert.is_true(s:acquire())
      assert.is_true(s:acquire())
      assert.equal(0, s:get_value())
      assert.is_true(s:locked())
      assert.is_false(s:acquire(false))
      sync.takes(0.1, function() assert.is_false(s:acquire(true, 0.1)) end)
      s:release()
      assert.is_false(s:locked())
      assert.matches("Semaphore #%d+ %(value 1%)", tostring(s))
      s:release()
    end)

    it("has one unit, if it is not told", function()
      assert.equal(1, make():get_value())
    end)

    it("lets in no more than it has units", function()
      local s, inside, most = make(2), mp.Value("i", 0), mp.Value("i", 0)
      local function go(sem, n, max)
        for _ = 1, 500 do
          sem:with(function()
            local now = n:add(1)
            if now > max.value then max.value = now end
            n:add(-1)
          end)
        end
      end
      local workers = {}
      for i = 1, 4 do workers[i] = start(go, s, inside, most) end
      for _, p in ipairs(workers) do finish(p) end
      assert.is_true(most.value <= 2)
      assert.equal(2, s:get_value())
    end)

    it("wakes a process that waits", function()
      local s = make(1)
      s:acquire()
      local p = start(function(sem) sem:acquire() sem:release() end, s)
      mp.sleep(0.05)
      s:release()
      finish(p)
    end)

    it("travels", function()
      local s = make(3)
      local q = mp.Queue()
      q:put(s)
      local same = q:get()
      assert.equal(s, same)
      same:acquire()
      assert.equal(2, s:get_value())
      s:release()
    end)

    it("has guards", function()
      local s = make(1)
      do
        local held <close> = s:guard() -- luacheck: ignore held
        assert.equal(0, s:get_value())
      end
      assert.equal(1, s:get_value())
      assert.is_nil(s:abandoned())
    end)
  end)
end

describe("a Semaphore", function()
  it("grows by releases, and keeps what the dead took", function()
    local s = mp.Semaphore(0)
    for _ = 1, 3 do s:release() end
    assert.equal(3, s:get_value())
    killed_with(s, 2)
    assert.equal(1, s:get_value())
  end)

  it("gets its units back from the dead, with undo", function()
    local s = mp.Semaphore {2, undo = true}
    killed_with(s, 2)
    assert.equal(2, s:get_value())
    s:release()
    assert.equal(3, s:get_value())
  end)

  it("refuses what makes no sense", function()
    raised("ValueError", "-1", mp.Semaphore, -1)
    raised("ValueError", "-1", mp.BoundedSemaphore, -1)
    raised("TypeError", "1.5", mp.Semaphore, 1.5)
    raised("TypeError", "undo", mp.Semaphore, {1, undoo = true})
    raised("TypeError", "undo", mp.BoundedSemaphore, {1, undo = true})
  end)
end)

describe("a BoundedSemaphore", function()
  it("has a bound", function()
    local s = mp.BoundedSemaphore(2)
    raised("ValueError", "released too many times", s.release, s)
    s:acquire()
    s:release()
    raised("ValueError", "released too many times", s.release, s)
    assert.equal(2, s:get_value())
  end)

  it("gets its units back from the dead, also those who sleep for them", function()
    local s = mp.BoundedSemaphore(3)
    killed_with(s, 2)
    assert.equal(3, s:get_value())
    local ready = mp.Event()
    local holder = start(function(sem, r)
      for _ = 1, 3 do sem:acquire() end
      r:set()
      mp.sleep(helper.LIMIT)
    end, s, ready)
    ready:wait()
    local sleeper = start(function(sem) sem:acquire() end, s)
    mp.sleep(0.05)
    kill(holder)
    finish(sleeper)
    assert.equal(3, s:get_value()) -- the sleeper ended, too
  end)

  it("takes a unit that somebody without one gives off the oldest account", function()
    local s, ready = mp.BoundedSemaphore(2), mp.Event()
    local holder = start(function(sem, r)
      sem:acquire()
      r:set()
      mp.sleep(helper.LIMIT)
    end, s, ready)
    ready:wait()
    s:release()
    assert.equal(2, s:get_value())
    kill(holder)
    assert.equal(2, s:get_value())
    raised("ValueError", "too many", s.release, s)
  end)
end)
