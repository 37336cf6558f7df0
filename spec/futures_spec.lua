-- Futures: executors, what a future says, waiting for many, callbacks.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local futures = mp.futures

local function square(n) return n * n end

local function fails(kind, pattern, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert(mp[kind]:is(err), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

describe("an executor", function()
  it("runs what is submitted, with its arguments", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    local list = {}
    for i = 1, 50 do list[i] = executor:submit(square, i) end
    for i = 50, 1, -1 do assert.equal(i * i, list[i]:result()) end
    assert.same({n = 3, 1, nil, 2}, table.pack(executor:submit(function(...) return ... end, 1, nil, 2):result()))
  end)

  it("maps lazily and in order", function()
    local executor <close> = futures.ProcessPoolExecutor {max_workers = 2}
    local n, drawn = 0, 0
    for i, v in executor:map(square, function() drawn = drawn + 1 return drawn end, {buffersize = 4}) do
      n = n + 1
      assert.same({n, n * n}, {i, v})
      if n == 20 then break end
    end
    assert.is_true(drawn < 30)
    local results = executor:map(mp.sleep, {0, 60}, {timeout = 0.3})
    assert.equal(1, (results()))
    fails("TimeoutError", "", results)
    executor:terminate_workers()
  end)

  it("takes nothing after shutdown, which waits for what there is", function()
    local executor = futures.ProcessPoolExecutor(1)
    local slow, waiting = executor:submit(mp.sleep, 0.1), {}
    for i = 1, 5 do waiting[i] = executor:submit(square, i) end
    helper.eventually(function() return slow:running() end)
    executor:shutdown {cancel_futures = true}
    assert.is_true(slow:done())
    for i = 1, 5 do assert.is_true(waiting[i]:cancelled()) end
    fails("ProcessError", "cannot schedule new futures after shutdown", executor.submit, executor, square, 1)
    executor:shutdown()
  end)

  it("cancels what a map has in line, too", function()
    local executor = futures.ProcessPoolExecutor(1)
    local results = executor:map(function(n) mp.sleep(0.1) return n end, {1, 2, 3})
    helper.eventually(function() return executor.pool:stats().running == 1 end)
    executor:shutdown {wait = false, cancel_futures = true}
    assert.same({1, 1}, {results()})
    fails("CancelledError", "", results)
    fails("CancelledError", "", results)
    assert.is_nil(results())
    executor:shutdown()
  end)

  it("calls back at once for what it cancels", function()
    local executor, cancelled = futures.ProcessPoolExecutor(1), 0
    local slow = executor:submit(mp.sleep, 0.1)
    for _ = 1, 3 do
      executor:submit(square, 1):add_done_callback(function(f) cancelled = cancelled + (f:cancelled() and 1 or 0) end)
    end
    helper.eventually(function() return slow:running() end)
    executor:shutdown {wait = false, cancel_futures = true}
    assert.equal(3, cancelled)
    executor:shutdown()
  end)

  it("loses only the future whose worker dies", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    local doomed, fine = executor:submit(os.exit, 3), executor:submit(square, 4)
    local err = doomed:exception(helper.LIMIT)
    assert.is_true(futures.BrokenProcessPool:is(err) and mp.WorkerLostError:is(err))
    assert.equal(3, err.exitcode)
    assert.equal(16, fine:result())
    assert.equal(25, executor:submit(square, 5):result())
  end)

  it("refuses what makes no sense", function()
    fails("ValueError", "max_workers", futures.ProcessPoolExecutor, 0)
    fails("TypeError", "max_worker", futures.ProcessPoolExecutor, {max_worker = 1})
    local executor <close> = futures.ProcessPoolExecutor(1)
    fails("TypeError", "func must be a function", executor.submit, executor, 5)
    fails("SerializationError", "args%[1%]", executor.submit, executor, square, coroutine.create(print))
    fails("TypeError", "fs%[2%]", futures.wait, {executor:submit(square, 1), 5})
    fails("ValueError", "return condition", futures.wait, {}, {return_when = "NEVER"})
  end)
end)

describe("a future", function()
  it("says how it is", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local slow, waiting = executor:submit(mp.sleep, 60), executor:submit(square, 2)
    helper.eventually(function() return slow:running() end)
    assert.is_false(slow:done() or waiting:running() or waiting:done() or waiting:cancelled())
    assert.is_false(slow:cancel())
    assert.is_true(waiting:cancel())
    assert.is_true(waiting:cancelled() and waiting:done() and waiting:cancel())
    fails("CancelledError", "", waiting.result, waiting)
    fails("CancelledError", "", waiting.exception, waiting)
    fails("TimeoutError", "", slow.result, slow, 0.01)
    executor:kill_workers()
    assert.is_true(futures.BrokenProcessPool:is(slow:exception()))
  end)

  it("gives the exception and the remote traceback", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local failed = executor:submit(function() error("boom", 0) end)
    assert.equal("boom", failed:exception().value)
    assert.matches("futures_spec", failed:traceback())
    fails("RemoteError", "boom", failed.result, failed)
    assert.is_nil(executor:submit(square, 1):exception())
  end)

  it("calls back in its creator, in waits and in sleep, at once when it is over", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local seen, pid = {}, nil
    local future = executor:submit(square, 3)
    future:add_done_callback(function(f) seen[1], pid = f:result(), mp.getpid() end)
    future:add_done_callback(function() seen[2] = true end)
    mp.sleep(0.3)
    assert.same({9, true}, seen)
    assert.equal(mp.getpid(), pid)
    future:add_done_callback(function(f) seen[3] = f == future end)
    assert.is_true(seen[3])
  end)
end)

describe("waiting", function()
  it("is for all, for the first, for the first exception", function()
    local executor <close> = futures.ProcessPoolExecutor(2)
    local slow, fast = executor:submit(mp.sleep, 0.3), executor:submit(mp.sleep, 0.01)
    local done, open = futures.wait({slow, fast}, {return_when = "FIRST_COMPLETED"})
    assert.same({fast, slow}, {done[1], open[1]})
    done, open = futures.wait({slow, fast}, 0.01)
    assert.same({1, 1}, {#done, #open})
    done, open = futures.wait {slow, fast}
    assert.same({2, 0}, {#done, #open})
    slow = executor:submit(mp.sleep, 0.5)
    done = futures.wait({slow, executor:submit(error, "x")}, {return_when = futures.FIRST_EXCEPTION})
    assert.is_true(#done == 1 and not slow:done())
  end)

  it("refuses a list with a hole, and says where", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local f = executor:submit(square, 2)
    for place, fs in pairs {{nil, f}, {f, nil, f}, {f, f, [5] = f}, {f, f, f, n = 4}} do
      for _, wait in ipairs {futures.wait, futures.as_completed} do
        fails("TypeError", "futures_spec.lua:%d+: TypeError: fs%[" .. place .. "%] must be a Future, got nil",
          function() wait(fs) end)
      end
    end
    assert.equal(1, #futures.wait {f, "not counted", n = 1})
    assert.same({{}, {}}, {futures.wait {n = 0}})
  end)

  it("calls back, also for what is over already", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local future, seen = executor:submit(square, 3), {}
    future:add_done_callback(function(f) seen[#seen + 1] = f:result() end)
    helper.eventually(function() return future:done() end)
    assert.same({}, seen)
    futures.wait({future}, 0)
    assert.same({9}, seen)
    future = executor:submit(square, 4)
    future:add_done_callback(function(f) seen[#seen + 1] = f:result() end)
    helper.eventually(function() return future:done() end)
    for f in futures.as_completed {future} do assert.equal(16, f:result()) end
    assert.same({9, 16}, seen)
  end)

  it("is for the results of several executors", function()
    local one <close> = futures.ProcessPoolExecutor(1)
    local two <close> = futures.ProcessPoolExecutor(1)
    local slow, fast = one:submit(mp.sleep, 0.2), two:submit(mp.sleep, 0.05)
    local order = {}
    for future in futures.as_completed {slow, fast} do order[#order + 1] = future end
    assert.is_true(order[1] == fast and order[2] == slow)
    local late = futures.as_completed({one:submit(mp.sleep, 1), two:submit(mp.sleep, 0.01)}, 0.3)
    assert.is_truthy(late())
    fails("TimeoutError", "1 %(of 2%) futures unfinished", late)
  end)

  it("calls back whatever it says is over", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    for i = 1, 300 do -- a result may come in at any point of a look
      local called = 0
      local future = executor:submit(square, i)
      future:add_done_callback(function() called = called + 1 end)
      repeat local done = futures.wait({future}, 0) until #done == 1
      assert.equal(1, called)
    end
  end)

  it("is with queues, and by a descriptor", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local queue, future = mp.Queue(), executor:submit(mp.sleep, 0.1)
    assert.same({}, mp.connection.wait({queue, future}, 0.01))
    assert.same({future}, mp.connection.wait({queue, future}, helper.LIMIT))
    future = executor:submit(mp.sleep, 0.05)
    local fd = future:fileno()
    repeat -- it may be readable for nothing, as late as for the future before
      assert.same({fd}, mp.connection.wait({fd}, helper.LIMIT))
    until future:done()
    helper.eventually(function() return future:done() and #mp.connection.wait({fd}, 0) == 0 end)
  end)

  it("is quiet again after a look, also when all is over", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    local future = executor:submit(mp.sleep, 0)
    local fd = future:fileno()
    assert.is_nil(future:result())
    for _ = 1, 3 do
      assert.same({fd}, mp.connection.wait({fd}, helper.LIMIT)) -- the timer's, at the latest
      helper.eventually(function() -- a worker may ring after its result was seen
        return future:done() and #mp.connection.wait({fd}, 0) == 0
      end)
    end
  end)
end)
