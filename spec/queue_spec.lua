-- Queue, JoinableQueue, SimpleQueue.
local helper = require "spec.helper"
local mp = require "multiprocessing"

-- The error that f(...) raises, which must be of that kind.
local function failure(kind, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(mp[kind]:is(err), tostring(err))
  return err
end

-- Runs f in a process of its own; it must end well.
local function within(f, ...)
  local process = mp.Process {target = f, args = table.pack(...)}
  process:start()
  return process
end

local function finish(process)
  process:join(helper.LIMIT)
  assert.equal(0, process.exitcode)
  process:close()
end

local function took(seconds, f)
  local start = mp.monotonic()
  f()
  local spent = mp.monotonic() - start
  assert.is_true(spent >= seconds - 0.002 and spent <= seconds + helper.TOLERANCE, tostring(spent))
end

after_each(function()
  collectgarbage()
  assert.is_true(mp.check())
end)

describe("Queue", function()
  it("gives what was put, in that order", function()
    local q = mp.Queue()
    local values = {1, -1, 0, 127, 128, 255, 256, 65535, 65536, 1 << 32, -128, -129, -32768, -32769,
      -(1 << 31), -(1 << 31) - 1, math.maxinteger, math.mininteger, 1.0, 0.5, -0.0, math.huge, true,
      false, "", "x", "é", ("a"):rep(31), ("a"):rep(32), ("b"):rep(54), ("b"):rep(55), "\xff\x00"}
    for _, value in ipairs(values) do q:put(value) end
    for _, value in ipairs(values) do
      local got = q:get()
      assert.equal(value, got)
      assert.equal(math.type(value), math.type(got))
    end
    assert.is_true(q:empty())
  end)

  it("carries nil, nan, tables and functions", function()
    local q = mp.Queue()
    q:put(nil)
    assert.is_nil(q:get())
    q:put(0 / 0)
    local nan = q:get()
    assert.is_true(nan ~= nan)
    local t = {1, {2}, name = "x"}
    t.self = t
    q:put(t)
    local got = q:get()
    assert.equal(got, got.self)
    assert.equal(2, got[2][1])
    local n = 3
    q:put(function(x) return x + n end)
    assert.equal(10, q:get()(7))
    local long = ("0123456789"):rep(100000)
    q:put(long)
    q:put {long}
    assert.equal(long, q:get())
    assert.equal(long, q:get()[1])
  end)

  it("knows its size", function()
    local q = mp.Queue(2)
    assert.is_true(q:empty())
    assert.is_false(q:full())
    q:put(1)
    assert.equal(1, q:qsize())
    q:put(2)
    assert.is_true(q:full())
    assert.is_false(q:empty())
    assert.is_truthy(tostring(q):find("^Queue #%d+ %(2 of 2%)$"))
    assert.is_false(mp.Queue():full())
    assert.is_true(mp.Queue(0):try_put(1))
    assert.is_true(mp.Queue(-1):try_put(1))
  end)

  it("does not wait when told so", function()
    local q = mp.Queue(1)
    failure("Empty", q.get, q, false)
    failure("Empty", q.get_nowait, q)
    failure("Empty", q.get, q, {block = false})
    assert.is_false(q:try_get())
    q:put_nowait(1)
    failure("Full", q.put, q, 2, false)
    failure("Full", q.put_nowait, q, 2)
    failure("Full", q.put, q, 2, {block = false})
    assert.is_false(q:try_put(2))
    local ok, value = q:try_get()
    assert.is_true(ok)
    assert.equal(1, value)
  end)

  it("waits as long as told, and no longer", function()
    local q = mp.Queue(1)
    took(0.1, function() failure("Empty", q.get, q, true, 0.1) end)
    took(0.1, function() assert.is_false(q:try_get(0.1)) end)
    q:put(1)
    took(0.1, function() failure("Full", q.put, q, 2, {timeout = 0.1}) end)
    took(0.1, function() assert.is_false(q:try_put(2, 0.1)) end)
    took(0, function() failure("Full", q.put, q, 2, true, -1) end)
  end)

  it("says what is wrong with a call", function()
    local q = mp.Queue()
    failure("TypeError", q.put, q)
    failure("TypeError", q.put, q, 1, 2)
    local unknown = failure("TypeError", q.put, q, 1, {blok = true})
    assert.is_truthy(unknown.message:find("block", 1, true))
    failure("ValueError", q.get, q, true, 0 / 0)
    failure("TypeError", mp.Queue, "x")
    assert.is_truthy(failure("TypeError", mp.Queue, {maxsiz = 3}).message:find("maxsize", 1, true))
    failure("TypeError", q.put, {}, 1)
    local err = failure("SerializationError", q.put, q, {list = {coroutine.create(print)}})
    assert.is_truthy(err.message:find("value.list[1]", 1, true))
    assert.is_true(q:empty())
    assert.is_truthy(err.where:find("queue_spec.lua", 1, true))
  end)

  it("keeps within its bytes", function()
    local q = mp.Queue {maxbytes = 100}
    local err = failure("ValueError", q.put, q, ("x"):rep(200))
    assert.is_truthy(err.message:find("maxbytes, 100", 1, true))
    q:put(("x"):rep(60))
    assert.is_false(q:try_put(("x"):rep(60)))
    assert.is_true(q:try_put(("x"):rep(20)))
    q:get()
    assert.is_true(q:try_put(("x"):rep(60)))
  end)

  it("is closed once", function()
    local q = mp.Queue()
    q:put(1)
    q:close()
    q:close()
    assert.equal("the queue is closed", failure("ValueError", q.get, q).message)
    failure("ValueError", q.put, q, 1)
    q:join_thread()
    q:cancel_join_thread()
    assert.equal("Queue (closed)", tostring(q))
    do
      local scoped <close> = mp.Queue()
      scoped:put(1)
    end
  end)

  it("takes and gives many at once", function()
    local q = mp.Queue()
    local list = {}
    for i = 1, 500 do list[i] = i % 7 == 0 and ("x"):rep(i) or i end
    assert.equal(500, q:put_many(list))
    assert.equal(500, q:qsize())
    assert.same(list, q:get_many(1000))
    local i = 0
    assert.equal(5, q:put_many(function()
      i = i + 1
      return i <= 5 and i or nil
    end))
    assert.same({1, 2}, q:get_many(2))
    assert.same({3, 4, 5}, q:get_many(10, {block = false}))
    assert.equal(0, q:put_many {})
    assert.equal(2, q:put_many {n = 2})
    assert.is_nil(q:get())
    assert.is_nil(q:get())
    failure("Empty", q.get_many, q, 3, false)
    failure("ValueError", q.get_many, q, 0)
    failure("TypeError", q.get_many, q)
    failure("TypeError", q.put_many, q, 7)
  end)

  it("says how many of many went in", function()
    local q = mp.Queue(3)
    assert.equal(3, q:put_many({1, 2, 3, 4, 5}, false))
    failure("Full", q.put_many, q, {4, 5}, false)
    assert.equal(0, q:put_many({}, false))
    assert.same({1, 2, 3}, q:get_many(5))
    took(0.1, function() assert.equal(3, q:put_many({1, 2, 3, 4}, true, 0.1)) end)
    local unbounded, list = mp.Queue(), {}
    for i = 1, 100 do list[i] = i end
    list[80] = coroutine.create(print)
    local err = failure("SerializationError", unbounded.put_many, unbounded, list)
    assert.equal(err.done, unbounded:qsize())
    list[2] = list[80]
    unbounded:get_many(100)
    assert.is_nil(failure("SerializationError", unbounded.put_many, unbounded, list).done)
    assert.is_true(unbounded:empty())
  end)

  it("can be walked until it is shut down", function()
    local q = mp.Queue()
    q:put_many {"a", false, "c"}
    q:shutdown()
    local seen = {}
    for i, value in q:items() do seen[i] = value end
    assert.same({"a", false, "c"}, seen)
  end)

  it("is shut down", function()
    local q = mp.Queue()
    q:put(1)
    q:shutdown()
    failure("ShutDown", q.put, q, 2)
    failure("ShutDown", q.try_put, q, 2)
    assert.equal(1, q:get())
    failure("ShutDown", q.get, q)
    failure("ShutDown", q.try_get, q)
    failure("ShutDown", q.get_many, q, 5)
    local now = mp.Queue()
    now:put_many {1, 2, 3}
    now:shutdown(true)
    failure("ShutDown", now.get, now)
    assert.equal(0, now:qsize())
    mp.Queue():shutdown {immediate = true}
  end)

  it("travels through a queue", function()
    local outer, inner = mp.Queue(), mp.Queue(5)
    outer:put {inner, inner, mp.JoinableQueue(), mp.SimpleQueue()}
    inner:put("x")
    local same = inner
    inner = nil -- luacheck: ignore
    local got = outer:get()
    assert.equal(got[1], got[2])
    assert.equal(got[1], same)
    assert.equal("x", got[2]:get())
    assert.is_truthy(tostring(got[3]):find("^JoinableQueue"))
    assert.is_truthy(tostring(got[4]):find("^SimpleQueue"))
    local closed = mp.Queue()
    closed:close()
    failure("SerializationError", outer.put, outer, closed)
  end)

  it("frees what nobody took", function()
    local before = mp.stats().objects
    for _ = 1, 20 do
      local q = mp.Queue()
      for i = 1, 50 do q:put {i, mp.Queue(), ("x"):rep(i * 100)} end
      q:close()
    end
    collectgarbage()
    collectgarbage()
    assert.same(before, mp.stats().objects)
  end)
end)

describe("a message that cannot be decoded", function()
  local Fragile = {}
  local fails
  mp.register_class("spec.queue.Fragile", Fragile, {
    pack = function(object) return object.value end,
    unpack = function(value)
      if fails then error(fails, 0) end
      return setmetatable({value = value}, Fragile)
    end,
  })
  local function fragile(value) return setmetatable({value = value}, Fragile) end
  after_each(function() fails = nil end)

  it("is delivered by the next get if memory was wanting", function()
    local q = mp.Queue()
    q:put(fragile(7))
    q:put(8)
    fails = mp.MemoryError "no more"
    failure("MemoryError", q.get, q)
    failure("MemoryError", q.get, q)
    assert.equal(2, q:qsize())
    fails = nil
    assert.equal(7, q:get().value)
    assert.equal(8, q:get())
  end)

  it("is gone if anything else was wrong, and the queue goes on", function()
    local q = mp.Queue()
    q:put(fragile(7))
    q:put(8)
    fails = "broken"
    local ok, err = pcall(q.get, q)
    assert.is_false(ok)
    assert.equal("broken", err)
    assert.equal(8, q:get())
    assert.is_true(q:empty())
  end)

  it("gives its bytes", function()
    local q, back = mp.Queue(), mp.Queue()
    local process = within(function()
      local ok, err = pcall(q.get, q)
      back:put {ok, mp.SerializationError:is(err), err.message_bytes, q:get()}
    end)
    local Late = {} -- the receiver does not know it
    mp.register_class("spec.queue.Late", Late)
    q:put(setmetatable({("x"):rep(100)}, Late))
    q:put("next")
    local ok, is, bytes, following = table.unpack(back:get(true, helper.LIMIT))
    assert.is_false(ok)
    assert.is_true(is)
    assert.is_truthy(bytes:find(("x"):rep(100), 1, true))
    assert.equal("next", following)
    finish(process)
  end)

  it("does not spoil those taken with it", function()
    local q = mp.Queue()
    q:put_many {1, 2, fragile(3), 4, fragile(5)}
    fails = "broken"
    assert.same({1, 2}, q:get_many(10))
    assert.equal(3, q:qsize())
    assert.is_false((pcall(q.get_many, q, 10)))
    assert.same({4}, q:get_many(10))
    fails = nil
    assert.equal(5, q:get().value)
    assert.is_true(q:empty())
  end)

  it("may be closed while it is decoded", function()
    local q = mp.Queue()
    local Closing = {}
    mp.register_class("spec.queue.Closing", Closing, {
      pack = function() return 1 end,
      unpack = function()
        q:close()
        return "closed"
      end,
    })
    q:put(setmetatable({}, Closing))
    q:put(1)
    assert.equal("closed", q:get())
    failure("ValueError", q.get, q)
  end)

  it("may take from the same queue meanwhile", function()
    local q = mp.Queue()
    local Greedy = {}
    mp.register_class("spec.queue.Greedy", Greedy, {
      pack = function() return ("x"):rep(100) end,
      unpack = function() return {q:get()} end,
    })
    q:put_many {setmetatable({}, Greedy), setmetatable({}, Greedy), 3}
    assert.same({{3}}, q:get())
    assert.is_true(q:empty())
  end)
end)

describe("between processes, a queue", function()
  it("carries everything in order", function()
    local there, back = mp.Queue(10), mp.Queue()
    local process = within(function()
      for _, value in there:items() do back:put(value) end
    end)
    local producer = within(function()
      for i = 1, 2000 do there:put(i % 50 == 0 and {i} or i) end
      there:shutdown()
    end)
    for i = 1, 2000 do
      local value = back:get(true, helper.LIMIT)
      assert.equal(i, i % 50 == 0 and value[1] or value)
    end
    finish(producer)
    finish(process)
  end)

  it("shows at once what one has put", function()
    local q = mp.Queue()
    local process = within(function() q:put("done") end)
    finish(process)
    assert.equal("done", q:get_nowait())
  end)

  it("wakes who waits, soon", function()
    local q, back = mp.Queue(), mp.Queue()
    local process = within(function()
      for _ = 1, 3 do back:put(q:get()) end
    end)
    for i = 1, 3 do
      mp.sleep(0.05)
      took(0, function()
        q:put(i)
        assert.equal(i, back:get(true, helper.LIMIT))
      end)
    end
    finish(process)
  end)

  it("wakes who waits for room, soon", function()
    local q, back = mp.Queue(1), mp.Queue()
    local process = within(function()
      for i = 1, 3 do q:put(i) end
      back:put("all in")
    end)
    mp.sleep(0.05)
    took(0, function()
      for i = 1, 3 do assert.equal(i, q:get(true, helper.LIMIT)) end
      assert.equal("all in", back:get(true, helper.LIMIT))
    end)
    finish(process)
  end)

  it("does not make a producer wait for much room", function()
    local q, back = mp.Queue(100), mp.Queue()
    local process = within(function()
      for i = 1, 101 do q:put(i) end
      back:put("all in")
    end)
    mp.sleep(0.05)
    q:get() -- one place in a hundred
    took(0, function() assert.equal("all in", back:get(true, helper.LIMIT)) end)
    finish(process)
  end)

  it("outlives those who are killed at it", function()
    local q = mp.Queue(5)
    for _ = 1, 20 do
      local process = within(function()
        for i = 1, math.huge do q:put {i, ("x"):rep(i % 100)} end
      end)
      local expected = 1
      for _ = 1, 50 do
        assert.equal(expected, q:get(true, helper.LIMIT)[1])
        expected = expected + 1
      end
      process:kill()
      process:join(helper.LIMIT)
      process:close()
      while true do
        local ok, value = q:try_get()
        if not ok then break end
        assert.equal(expected, value[1])
        expected = expected + 1
      end
    end
  end)
end)

describe("JoinableQueue", function()
  it("waits until all is done", function()
    local q = mp.JoinableQueue()
    assert.is_true(q:join())
    local process = within(function()
      for _ in q:items() do
        mp.sleep(0.02)
        q:task_done()
      end
    end)
    for i = 1, 5 do q:put(i) end
    assert.is_false(q:join(0.01))
    assert.is_true(q:join(helper.LIMIT))
    assert.equal("task_done() called too many times", failure("ValueError", q.task_done, q).message)
    q:shutdown()
    finish(process)
  end)

  it("tells of those who ended before task_done, once", function()
    local q = mp.JoinableQueue()
    q:put_many {1, 2, 3}
    local process = within(function()
      q:get()
      q:get()
      q:task_done()
    end)
    finish(process)
    assert.is_false(q:join(0.01))
    q:get()
    q:task_done()
    local err = failure("WorkerLostError", q.join, q, helper.LIMIT)
    assert.equal(1, err.count)
    assert.is_true(q:join())
  end)

  it("does not wait for what was thrown away", function()
    local q = mp.JoinableQueue()
    q:put_many {1, 2, 3}
    q:shutdown(true)
    assert.is_true(q:join(helper.LIMIT))
  end)

  it("has task_done and join to itself", function()
    assert.is_nil(mp.Queue().join)
    assert.is_nil(mp.SimpleQueue().qsize)
  end)

  it("has methods for queues alone, also those that do nothing", function()
    local pipe = mp.Pipe()
    for _, name in ipairs {"join_thread", "cancel_join_thread", "close"} do
      for _, queue in ipairs {mp.Queue(), mp.JoinableQueue()} do
        assert.matches("Queue expected, got Connection", failure("TypeError", queue[name], pipe).message)
        failure("TypeError", queue[name])
        queue[name](queue)
      end
    end
    pipe:close()
    failure("TypeError", mp.Queue().close, pipe)
    failure("TypeError", mp.Queue().join_thread, pipe)
  end)
end)

describe("SimpleQueue", function()
  it("puts and gets", function()
    local q = mp.SimpleQueue()
    assert.is_true(q:empty())
    q:put {1}
    assert.is_false(q:empty())
    assert.same({1}, q:get())
    q:close()
  end)
end)

describe("Ctrl-C", function()
  it("ends a get and a put that wait", function()
    for _, call in ipairs {"mp.Queue():get()", "local q = mp.Queue(1) q:put(1) q:put(2)",
      "local q = mp.JoinableQueue() q:put(1) q:join()"} do
      local result = helper.run(([[
        local mp = require "multiprocessing"
        local me = mp.getpid()
        local p = mp.Process {target = function()
          mp.sleep(0.1)
          os.execute("kill -INT " .. me)
        end}
        p:start()
        local ok, err = pcall(function() %s end)
        p:join()
        print(ok, tostring(err):find("interrupted!") ~= nil)
      ]]):format(call))
      assert.equal("false\ttrue\n", result.stdout, helper.describe(result))
    end
  end)
end)
