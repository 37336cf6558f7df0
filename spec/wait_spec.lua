-- Waiting on many things: connection.wait, fileno.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local raised = require "spec.support.raised"
local sync = require "spec.support.sync"
local failure, start, finish = raised.failure, sync.start, sync.finish
local wait = mp.connection.wait

-- Objects that end with the test.
local open = {}
local function keep(...)
  for _, object in ipairs {...} do open[#open + 1] = object end
  return ...
end
local function close_all()
  while #open > 0 do table.remove(open):close() end
end

describe("wait", function()
  after_each(close_all)

  it("gives what is ready, in the order of the list", function()
    local a, b = keep(mp.Pipe())
    local q, e = keep(mp.Queue()), mp.Event()
    assert.same({}, wait({a, q, e}, 0))
    q:put(1)
    local ready = wait {a, q, e}
    assert.equal(1, #ready)
    assert.is_true(ready[1] == q)
    b:send("x")
    e:set()
    ready = wait {e, a, q, b}
    assert.equal(3, #ready)
    assert.is_true(ready[1] == e and ready[2] == a and ready[3] == q)
    q:get()
    a:recv()
    e:clear()
    assert.same({}, wait({a, q, e}, 0))
  end)

  it("keeps to its timeout", function()
    local q = keep(mp.Queue())
    for _, list in ipairs {{}, {q}} do
      local begun = mp.monotonic()
      assert.same({}, wait(list, 0.1))
      local took = mp.monotonic() - begun
      assert.is_true(took >= 0.1 and took < 0.1 + helper.TOLERANCE)
    end
    assert.same({}, wait({q}, {timeout = 0}))
    assert.same({}, wait({q}, -1))
  end)

  it("is woken by another process", function()
    local q, e = keep(mp.Queue()), mp.Event()
    local a, b = keep(mp.Pipe())
    local jobs = {{q, function(o) o:put(1) end}, {e, function(o) o:set() end},
                  {a, function(_, o) o:send(1) end}}
    for _, job in ipairs(jobs) do
      local p = start(function(f, o, other) mp.sleep(0.05) f(o, other) end, job[2], job[1], b)
      local begun = mp.monotonic()
      local ready = wait({q, e, a}, helper.LIMIT)
      assert.is_true(#ready == 1 and ready[1] == job[1])
      assert.is_true(mp.monotonic() - begun < 0.05 + helper.TOLERANCE)
      finish(p)
      if job[1] == q then q:get() elseif job[1] == e then e:clear() else a:recv() end
    end
  end)

  it("takes processes, descriptors, and what has fileno or getfd", function()
    local q = keep(mp.Queue())
    local p = start(function() end)
    local ready = wait({q, p}, helper.LIMIT)
    assert.is_true(#ready == 1 and ready[1] == p)
    q:put(1)
    local fd = q:fileno()
    local ready_two = {fileno = function() return fd end}
    local ready_three = {getfd = function() return fd end}
    assert.equal(4, #wait {p.sentinel, fd, ready_two, ready_three})
    q:get()
    assert.equal(0, #wait({fd, ready_two, ready_three}, 0))
    finish(p)
  end)

  it("sees a connection's end", function()
    local a, b = mp.Pipe()
    b:close()
    assert.is_true(wait({a})[1] == a)
    a:close()
    assert.equal("handle is closed", failure(wait, {a}).message)
    local r, w = keep(mp.Pipe(false))
    assert.is_true(mp.OSError:is(failure(wait, {w})))
    assert.same({}, wait({r}, 0))
  end)

  it("refuses what cannot be waited for", function()
    for _, thing in ipairs {"x", true, {}, mp.Lock(), 1.5, print} do
      local err = failure(wait, {thing})
      assert.is_true(mp.TypeError:is(err))
      assert.matches("cannot wait for", err.message, 1, true)
    end
    assert.is_true(mp.ValueError:is(failure(wait, {-1})))
    assert.is_true(mp.TypeError:is(failure(wait, 5)))
    assert.is_true(mp.TypeError:is(failure(wait, {}, "x")))
  end)

  it("can be interrupted", function()
    local q = keep(mp.Queue())
    local up, ready = keep(mp.Pipe())
    local p = start(function(queue, c)
      c:send(true)
      local ok, err = pcall(mp.connection.wait, {queue})
      os.exit(not ok and tostring(err):find("interrupted!", 1, true) and 7 or 8)
    end, q, ready)
    up:recv()
    helper.sleep(0.05)
    p:interrupt()
    finish(p, 7)
  end)
end)

describe("fileno", function()
  after_each(close_all)

  it("is one descriptor that follows the object", function()
    local q = keep(mp.Queue())
    local fd = q:fileno()
    assert.equal(fd, q:fileno())
    for _ = 1, 3 do
      assert.equal(0, #wait({fd}, 0))
      q:put(1)
      q:put(2)
      assert.equal(1, #wait({fd}, 0))
      q:get()
      assert.equal(1, #wait({fd}, 0))
      q:get()
      assert.equal(0, #wait({fd}, 0))
    end
  end)

  it("goes with the object", function()
    local q = mp.Queue()
    q:fileno()
    q:close()
    assert.is_true(mp.ValueError:is(failure(q.fileno, q)))
    local a, b = mp.Pipe(false)
    assert.equal("connection is write-only", failure(b.fileno, b).message)
    a:close()
    b:close()
    assert.equal("handle is closed", failure(a.fileno, a).message)
  end)
end)
