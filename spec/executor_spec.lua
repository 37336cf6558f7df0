-- What Python's own tests of concurrent.futures ask for, beside futures_spec.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local futures = mp.futures

local function same(...) return ... end

local function divide(a)
  if a == 0 then error("division by zero", 0) end
  return 12 // a
end

local function fails(kind, pattern, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert(mp[kind]:is(err), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

-- One future of each: done, failed, cancelled, running (for as long as the executor lives), pending.
local function zoo(executor)
  local done, failed = executor:submit(same, 42), executor:submit(error, "x")
  assert(futures.wait({done, failed}, helper.LIMIT))
  local running, pending, cancelled = executor:submit(mp.sleep, 60), executor:submit(same, 1), executor:submit(same, 2)
  assert(cancelled:cancel())
  helper.eventually(function() return running:running() end)
  return done, failed, cancelled, running, pending
end

local function with_zoo(test)
  local executor = futures.ProcessPoolExecutor(1)
  local ok, err = pcall(test, zoo(executor))
  executor:kill_workers()
  executor:shutdown()
  assert(ok, err)
end

describe("the state of a future", function()
  it("is asked for without waiting", function()
    with_zoo(function(done, failed, cancelled, running, pending)
      local function states(name)
        local list = {}
        for i, future in ipairs {done, failed, cancelled, running, pending} do list[i] = future[name](future) end
        return list
      end
      assert.same({true, true, true, false, false}, states "done")
      assert.same({false, false, true, false, false}, states "cancelled")
      assert.same({false, false, false, true, false}, states "running")
      assert.same({false, false, true, false, true}, states "cancel")
    end)
  end)

  it("decides what result and exception give", function()
    with_zoo(function(done, failed, cancelled, running, pending)
      assert.equal(42, done:result(0))
      assert.is_nil(done:exception(0))
      fails("RemoteError", "x", failed.result, failed, 0)
      assert.equal("x", failed:exception(0).value)
      for _, ask in ipairs {"result", "exception"} do
        fails("CancelledError", "cancelled", cancelled[ask], cancelled, 0)
        fails("TimeoutError", "", running[ask], running, 0)
        fails("TimeoutError", "", pending[ask], pending, {timeout = 0.01})
      end
    end)
  end)

  it("stands in its text", function()
    with_zoo(function(...)
      local words = {}
      for i, future in ipairs {...} do words[i] = tostring(future):match("^Future #%d+ %((%w+)%)$") end
      assert.same({"done", "failed", "cancelled", "running", "pending"}, words)
    end)
  end)

  it("is failed also by an error that is false or nil", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    assert.same({false, false}, {pcall(function() return executor:submit(error, false):result() end)})
    assert.equal(false, executor:submit(error, false):exception())
    assert.is_false((pcall(function() return executor:submit(error, nil):result() end)))
  end)
end)

describe("callbacks of a future", function()
  it("are called in order, once, each with the future, whatever another raises", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local future, seen = executor:submit(same, 1), {}
    local errors = helper.run([[
      local mp = require "multiprocessing"
      local executor <close> = mp.futures.ProcessPoolExecutor(1)
      local future = executor:submit(tostring, 1)
      local function bad() error "bad callback" end
      future:add_done_callback(bad)
      future:add_done_callback(function(f) print("called " .. f:result()) end)
      future:add_done_callback(error) -- raises the future itself
      future:result()
      future:add_done_callback(bad)
      print "went on"
    ]])
    assert.same({0, "called 1\nwent on\n"}, {errors.status, errors.stdout})
    assert.equal(2, select(2, errors.stderr:gsub("exception calling callback for Future #1 [^\n]*bad callback", "")))
    for i = 1, 3 do
      future:add_done_callback(function(f) seen[#seen + 1] = f == future and i end)
    end
    future:result()
    mp.sleep(0)
    assert.same({1, 2, 3}, seen)
  end)

  it("are called for failed and cancelled ones, also for those that are over", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local seen = {}
    local function note(f) seen[#seen + 1] = f:cancelled() and "cancelled" or f:exception() and "failed" or "done" end
    local slow, pending = executor:submit(mp.sleep, 0.05), executor:submit(same)
    local failed = executor:submit(error, "x")
    for _, f in ipairs {slow, pending, failed} do f:add_done_callback(note) end
    pending:cancel()
    assert.same({"cancelled"}, seen)
    futures.wait {slow, failed}
    assert.same({"cancelled", "done", "failed"}, seen)
    for _, f in ipairs {slow, pending, failed} do f:add_done_callback(note) end
    assert.same({"cancelled", "done", "failed", "done", "cancelled", "failed"}, seen)
  end)

  it("may submit, wait and cancel", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local last
    executor:submit(same, 1):add_done_callback(function(f)
      local second, third = executor:submit(same, f:result() + 1), executor:submit(mp.sleep, 60)
      assert(second:result() == 2)
      last = {second, third, third:cancel() or executor:kill_workers()}
    end)
    helper.eventually(function() mp.sleep(0.01) return last end)
    assert.is_true(last[1]:done())
  end)

  it("must be functions", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    fails("TypeError", "fn must be a function, got nil", function() executor:submit(same):add_done_callback() end)
  end)
end)

describe("wait", function()
  it("counts those that are over already", function()
    with_zoo(function(done, failed, cancelled, running, pending)
      local function counts(list, options)
        local over, open = futures.wait(list, options)
        return {#over, #open}
      end
      assert.same({1, 1}, counts({done, running}, {return_when = "FIRST_COMPLETED"}))
      assert.same({1, 1}, counts({cancelled, pending}, {return_when = "FIRST_COMPLETED"}))
      assert.same({1, 2}, counts({failed, running, pending}, {return_when = "FIRST_EXCEPTION"}))
      assert.same({2, 1}, counts({done, cancelled, running}, {return_when = "FIRST_EXCEPTION", timeout = 0.01}))
      assert.same({3, 2}, counts({done, failed, cancelled, running, pending}, 0))
      assert.same({3, 0}, counts {done, failed, cancelled})
      assert.same({0, 0}, counts {})
    end)
  end)

  it("takes a future that is given twice once", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local future, other = executor:submit(mp.sleep, 0.02), executor:submit(same)
    local done, open = futures.wait {future, other, future}
    assert.same({2, 0}, {#done, #open})
    local count = 0
    for _ in futures.as_completed {future, future, other} do count = count + 1 end
    assert.equal(2, count)
    local late = futures.as_completed({executor:submit(mp.sleep, 0.2), future, future}, 0.01)
    assert.equal(future, late())
    fails("TimeoutError", "1 %(of 2%) futures unfinished", late)
  end)
end)

describe("as_completed", function()
  it("gives those first that are over", function()
    with_zoo(function(done, failed, cancelled, running, pending)
      local each = futures.as_completed({running, done, pending, failed, cancelled}, 0.05)
      assert.same({done, failed, cancelled}, {each(), each(), each()})
      fails("TimeoutError", "2 %(of 5%) futures unfinished", each)
      fails("TimeoutError", "1 %(of 1%) futures unfinished", futures.as_completed({pending}, 0))
    end)
  end)
end)

describe("map", function()
  it("raises an item's error in its turn", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    local results = executor:map(divide, {1, 2, 0, 4}, {chunksize = 2})
    assert.same({1, 12}, {results()})
    assert.same({2, 6}, {results()})
    fails("RemoteError", "division by zero", results)
    assert.same({4, 3}, {results()})
    assert.is_nil(results())
  end)

  it("may be left early, and the executor goes on", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    for i in executor:map(same, mp.range(1000)) do if i == 3 then break end end
    assert.equal(5, executor:submit(same, 5):result())
  end)

  it("has a timeout that counts from the call", function()
    local executor = futures.ProcessPoolExecutor(1)
    local results = executor:map(mp.sleep, {0.05, 0.05, 60}, {timeout = 0.3})
    results()
    results()
    local before = mp.monotonic()
    fails("TimeoutError", "", results)
    assert.is_true(mp.monotonic() - before < 0.25 + helper.TOLERANCE)
    executor:kill_workers()
    executor:shutdown()
  end)

  it("refuses wrong sizes", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    fails("ValueError", "chunksize", executor.map, executor, same, {1}, {chunksize = 0})
    fails("ValueError", "buffersize", executor.map, executor, same, {1}, {buffersize = 0})
    fails("TypeError", "buffersize", executor.map, executor, same, {1}, {buffersize = "foo"})
    fails("TypeError", "iterable", executor.map, executor, same, 5)
  end)
end)

describe("a method that is called with a dot", function()
  it("says what it misses", function()
    local pool <close> = mp.Pool(1)
    local executor <close> = futures.ProcessPoolExecutor(1)
    for _, name in ipairs {"submit", "map", "shutdown", "terminate_workers", "kill_workers"} do
      fails("TypeError", ("bad argument #1 to '%s' %%(ProcessPoolExecutor expected, got "):format(name),
        executor[name], same, {1})
    end
    for _, name in ipairs {"apply", "map", "starmap", "imap", "imap_unordered", "map_async", "starmap_async"} do
      fails("TypeError", ("bad argument #1 to '%s' %%(Pool expected, got "):format(name), pool[name], same, {1})
    end
  end)
end)

describe("an executor's end", function()
  it("leaves all results there", function()
    local executor = futures.ProcessPoolExecutor(3)
    local list = {}
    for i = 1, 50 do list[i] = executor:submit(function() mp.sleep(0.002) return i end) end
    executor:shutdown {wait = false}
    fails("ProcessError", "cannot schedule new futures after shutdown", executor.map, executor, same, {1})
    for i = 1, 50 do assert.equal(i, list[i]:result()) end
    executor:shutdown()
    executor:shutdown()
    assert.matches("shut down", tostring(executor))
  end)

  it("comes at once by terminate_workers", function()
    for _, how in ipairs {"terminate_workers", "kill_workers"} do
      local executor = futures.ProcessPoolExecutor(2)
      local slow, before = executor:submit(mp.sleep, 60), mp.monotonic()
      executor[how](executor)
      assert.is_true(futures.BrokenProcessPool:is(slow:exception()))
      fails("ProcessError", "cannot schedule new futures after shutdown", executor.submit, executor, same)
      executor:shutdown()
      assert.is_true(mp.monotonic() - before < 1 + helper.TOLERANCE)
    end
  end)

  it("comes at once by kill_workers, whatever the workers do with SIGTERM", function()
    for _, before in ipairs {"", "executor:terminate_workers()"} do
      local result = helper.run("", {command = [[sh -c 'trap "" TERM; exec lua5.4 -e "$0"']], args = {[[
        local mp = require "multiprocessing"
        local executor = mp.futures.ProcessPoolExecutor(1)
        local future = executor:submit(mp.sleep, 60)
        while not future:running() do mp.sleep(0.001) end
        local start = mp.monotonic()
        ]] .. before .. [[ executor:kill_workers()
        executor:shutdown()
        print(mp.monotonic() - start, future:exception().kind)
      ]]}})
      local took, kind = result.stdout:match("^(%S+)\t(%S+)\n$")
      assert.equal("BrokenProcessPool", kind, helper.describe(result))
      assert.is_true(tonumber(took) < 0.5 + helper.TOLERANCE, took)
    end
  end)

  it("is what a failing initializer makes", function()
    local executor <close> = futures.ProcessPoolExecutor {max_workers = 2, initargs = {"no start"}, initializer = error}
    local list = {executor:submit(same, 1), executor:submit(same, 2)}
    for _, future in ipairs(list) do
      local err = future:exception(helper.LIMIT)
      assert(futures.BrokenProcessPool:is(err), tostring(err))
      assert.matches("initializer fails: no start", err.message)
    end
    fails("WorkerLostError", "initializer fails: no start", executor.submit, executor, same, 1)
  end)
end)

describe("a worker", function()
  it("is replaced after max_tasks_per_child", function()
    local executor <close> = futures.ProcessPoolExecutor {max_workers = 1, max_tasks_per_child = 3}
    local pids, count = {}, 0
    for _ = 1, 7 do
      local pid = executor:submit(mp.getpid):result()
      if not pids[pid] then pids[pid], count = true, count + 1 end
    end
    assert.equal(3, count)
    fails("ValueError", "max_tasks_per_child", futures.ProcessPoolExecutor, {max_tasks_per_child = 0})
    fails("ValueError", "max_workers must be greater than 0", futures.ProcessPoolExecutor, -1)
  end)

  -- A class whose objects do something while they are packed or unpacked.
  local Trap = {}
  mp.register_class("executor_spec.Trap", Trap, {
    pack = function(self)
      if self.pack then self.pack() end
      return self.unpack
    end,
    unpack = function(unpack)
      if unpack then unpack() end
      return setmetatable({}, Trap)
    end,
  })
  local function trap(fields) return setmetatable(fields, Trap) end
  local function only_elsewhere(f)
    local here = mp.getpid()
    return function() if mp.getpid() ~= here then f() end end
  end

  it("costs one future whatever it does to arguments and results", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    local function fail() error("trap", 0) end
    local function exit() os.exit(9) end
    local cases = {
      {"BrokenProcessPool", executor:submit(exit)},
      {"BrokenProcessPool", executor:submit(same, trap {unpack = only_elsewhere(exit)})},
      {"RemoteError", executor:submit(same, trap {unpack = only_elsewhere(fail)})},
      {"BrokenProcessPool", executor:submit(function() return trap {pack = exit} end)},
      {"RemoteError", executor:submit(function() return trap {pack = fail} end)},
      {nil, executor:submit(function() return trap {unpack = fail} end)},
      {"SerializationError", executor:submit(function() return {at = coroutine.create(print)} end)},
      {"RemoteError", executor:submit(function() error(coroutine.create(print)) end)},
    }
    for i, case in ipairs(cases) do
      local err = case[2]:exception(helper.LIMIT)
      local kind = case[1] and (futures[case[1]] or mp[case[1]])
      assert(err ~= nil and (not kind or kind:is(err)), ("case %d: %s"):format(i, tostring(err)))
    end
    assert.equal(5, executor:submit(same, 5):result())
  end)
end)
