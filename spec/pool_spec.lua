-- Pools: calls, maps, results, callbacks, errors, ends.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local function square(n) return n * n end

-- Calls body(pool) with a pool that is joined afterwards.
local function with(options, body)
  local pool <close> = mp.Pool(options)
  body(pool)
  pool:close()
  assert.is_true(pool:join(helper.LIMIT))
  assert(mp.check())
end

local function fails(kind, pattern, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert(mp[kind]:is(err), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

describe("apply", function()
  it("gives all results of the call, run in another process", function()
    with(2, function(pool)
      assert.equal(49, pool:apply(square, {7}))
      assert.same({n = 4, 3, 1, nil, "x"},
        table.pack(pool:apply(function(...) return select("#", ...), ... end, table.pack(1, nil, "x"))))
      assert.same({n = 0}, table.pack(pool:apply(function() end)))
      assert.not_equal(mp.getpid(), pool:apply(mp.getpid))
    end)
  end)

  it("fills parameters by their names", function()
    with(1, function(pool)
      assert.equal("1 2", pool:apply(function(a, b) return a .. " " .. b end, {1}, {b = 2}))
      assert.equal("3 4", pool:apply {func = function(a, b) return a .. " " .. b end, args = {3}, kwds = {b = 4}})
    end)
  end)

  it("takes a callable table in a function's place", function()
    local Adder = mp.register_class("spec.Adder", {})
    Adder.__index, Adder.__call = Adder, function(self, n) return self.by + n end
    with(1, function(pool)
      assert.equal(5, pool:apply(setmetatable({by = 2}, Adder), {3}))
    end)
  end)

  it("raises a string as a RemoteError with the worker's traceback", function()
    with(1, function(pool)
      local err = fails("RemoteError", "boom", pool.apply, pool, function() error("boom", 0) end)
      assert.equal("boom", err.value)
      assert.matches("pool_spec.lua", err.message)
      assert.equal(err.message .. "!", (err .. "!"):gsub("^.-: ", "", 1))
      assert.is_nil(err.traceback:find("pool_worker") or err.traceback:find("busted"))
    end)
  end)

  it("raises any other value as it was", function()
    with(1, function(pool)
      local result = pool:apply_async(function() error {code = 7} end)
      local _, err = pcall(result.get, result)
      assert.same({code = 7}, err)
      assert.matches("pool_spec.lua", result:traceback())
      local kind = fails("ValueError", "odd", pool.apply, pool, function() error(mp.ValueError "odd") end)
      assert.matches("pool_spec.lua", kind.traceback)
      local text = fails("RemoteError", "a coroutine", pool.apply, pool, function()
        error(setmetatable({coroutine.create(print)}, {__tostring = function() return "a coroutine" end}))
      end)
      assert.matches("a coroutine", text.message)
    end)
  end)

  it("names what cannot be sent, on the way out and back", function()
    with(1, function(pool)
      fails("SerializationError", "args%[2%]%.a: a thread cannot be sent", pool.apply, pool, square,
        {1, {a = coroutine.create(print)}})
      fails("SerializationError", "result%[1%]%.b: a thread cannot be sent", pool.apply, pool,
        function() return {b = coroutine.create(print)} end)
      fails("SerializationError", "iterable%[3%]: a thread cannot be sent", pool.map, pool, square,
        {1, 2, coroutine.create(print)}, 1)
    end)
  end)
end)

describe("map", function()
  it("gives the results in order", function()
    with(2, function(pool)
      local expected = {n = 100}
      for i = 1, 100 do expected[i] = i * i end
      for _, chunk in ipairs {1, 3, 100, 1000} do
        assert.same(expected, pool:map(square, mp.range(1, 101), chunk))
      end
      assert.same(expected, pool:map(square, mp.range(1, 101)))
      assert.same({n = 0}, pool:map(square, {}))
    end)
  end)

  it("keeps nils, and takes an iterator", function()
    with(2, function(pool)
      local i = 0
      local list = pool:map(function(n) if n % 2 == 0 then return n end end, function()
        i = i + 1
        if i <= 5 then return i end
      end)
      assert.same({n = 5, nil, 2, nil, 4, nil}, list)
    end)
  end)

  it("raises the first item's error, after all have run", function()
    with(2, function(pool)
      local ran = mp.Value("i", 0)
      local err = fails("RemoteError", "item 3", pool.map, pool, function(n)
        ran:add(1)
        if n % 3 == 0 then error("item " .. n, 0) end
      end, mp.range(1, 10), 2)
      assert.equal("item 3", err.value)
      assert.equal(9, ran.value)
    end)
  end)

  it("spreads lists over arguments", function()
    with(2, function(pool)
      assert.same({n = 2, 3, 7}, pool:starmap(function(a, b) return a + b end, {{1, 2}, {3, 4}}))
      assert.equal("nil 2", pool:starmap(function(a, b) return a .. " " .. b end, {{"nil", 2}})[1])
      fails("TypeError", "starmap", pool.starmap, pool, square, {1})
    end)
  end)

  it("gives larger results than an area holds", function()
    with(2, function(pool)
      local texts = pool:map(function(n) return ("x"):rep(n) end, {1, 100, 5000, 100000, 20}, 5)
      assert.same({1, 100, 5000, 100000, 20}, {#texts[1], #texts[2], #texts[3], #texts[4], #texts[5]})
    end)
  end)
end)

describe("a function", function()
  it("keeps its upvalues in the worker between tasks", function()
    with(1, function(pool)
      local n = 0
      local function count() n = n + 1 return n end
      assert.same({1, 2, 3}, {pool:apply(count), pool:apply(count), pool:apply(count)})
      assert.equal(0, n)
    end)
  end)

  it("is sent anew when what it uses has changed", function()
    with(1, function(pool)
      local factor, list = 2, {10}
      local function helper_of(n) return n * factor end
      local function use(n) return helper_of(n) + list[1] end
      assert.equal(16, pool:apply(use, {3}))
      factor = 3
      assert.equal(19, pool:apply(use, {3}))
      list[1] = 20
      assert.equal(29, pool:apply(use, {3}))
      factor = 3.0
      assert.equal("float", math.type(pool:apply(use, {3})))
    end)
  end)

  it("finds globals that the workers do not have", function()
    with(1, function(pool)
      _G.pool_spec_late = function(n) return n + 1 end -- luacheck: ignore
      assert.equal(5, pool:apply(function() return pool_spec_late(4) end)) -- luacheck: ignore
      _G.pool_spec_late = nil -- luacheck: ignore
    end)
  end)
end)

describe("a result", function()
  it("is waited for, and says whether it is there", function()
    with(1, function(pool)
      local event = mp.Value("i", 0)
      local result = pool:apply_async(function(v) while v.value == 0 do mp.sleep(0.002) end return 5 end, {event})
      assert.is_false(result:ready())
      assert.is_false(result:wait(0.01))
      fails("TimeoutError", "", result.get, result, 0.01)
      fails("ValueError", "not ready", result.successful, result)
      event.value = 1
      assert.equal(5, result:get(helper.LIMIT))
      assert.is_true(result:ready())
      assert.is_true(result:successful())
      local failed = pool:apply_async(error, {"no"})
      assert.is_true(failed:wait(helper.LIMIT))
      assert.is_false(failed:successful())
    end)
  end)

  it("is given to callbacks, in the creator", function()
    with(2, function(pool)
      local seen, pid = {}, nil
      local r = pool:apply_async(square, {3}, nil, function(v) seen[1], pid = v, mp.getpid() end)
      assert.equal(9, r:get())
      assert.equal(9, seen[1])
      assert.equal(mp.getpid(), pid)
      pool:apply_async(error, {"no"}, nil, nil, function(err) seen[2] = err.value end):wait()
      assert.equal("no", seen[2])
      pool:map_async(square, {1, 2}, {callback = function(list) seen[3] = list end}):wait()
      assert.same({n = 2, 1, 4}, seen[3])
    end)
  end)

  it("has callbacks that may use the pool, and are never nested", function()
    with(1, function(pool)
      local depth, deepest, order = 0, 0, {}
      local function callback(v)
        depth = depth + 1
        deepest = math.max(deepest, depth)
        order[#order + 1] = v
        if v == 1 then order[#order + 1] = pool:apply(square, {10}) end
        depth = depth - 1
      end
      local result
      for i = 1, 3 do result = pool:apply_async(square, {i}, nil, callback) end
      result:get()
      assert.equal(1, deepest)
      assert.same({1, 100, 4, 9}, order)
    end)
  end)

  it("has a callback's error told by join and poll, and the pool lives", function()
    with(1, function(pool)
      local r = pool:apply_async(square, {2}, nil, function() error("callback", 0) end)
      assert.equal(4, r:get())
      assert.same({false, "callback"}, {pcall(pool.poll, pool)})
      pool:poll()
      assert.equal(9, pool:apply(square, {3}))
    end)
  end)
end)

describe("a pool", function()
  it("refuses what makes no sense", function()
    fails("ValueError", "number of processes must be at least 1", mp.Pool, 0)
    fails("TypeError", "processes must be an integer", mp.Pool, "x")
    fails("TypeError", "unknown option 'proceses'.*processes", mp.Pool, {proceses = 1})
    fails("ValueError", "maxtasksperchild", mp.Pool, {maxtasksperchild = 0})
    with(1, function(pool)
      fails("TypeError", "func must be a function", pool.apply, pool, 5)
      fails("TypeError", "func", pool.apply, pool)
      fails("TypeError", "args must be a table", pool.apply, pool, square, 5)
      fails("ValueError", "chunksize", pool.map, pool, square, {1}, 0)
      fails("TypeError", "iterable must be a list", pool.map, pool, square, 5)
      fails("ValueError", "Pool is still running", pool.join, pool)
      fails("SerializationError", "a Pool cannot be sent", pool.apply, pool, square, {pool})
      fails("ValueError", "retries", pool.apply, pool, {func = square, retries = -1})
      fails("ValueError", "timeout", pool.apply, pool, {func = square, timeout = 0})
    end)
  end)

  it("takes no work after close, and ends what it has", function()
    with(2, function(pool)
      local results = {}
      for i = 1, 20 do results[i] = pool:apply_async(square, {i}) end
      pool:close()
      fails("ValueError", "Pool not running", pool.apply, pool, square, {1})
      assert.is_true(pool:join(helper.LIMIT))
      for i = 1, 20 do assert.equal(i * i, results[i]:get()) end
    end)
  end)

  it("ends at once by terminate; what was open is cancelled", function()
    with(1, function(pool)
      local result = pool:apply_async(mp.sleep, {60})
      local before = helper.now()
      pool:terminate()
      fails("CancelledError", "", result.get, result)
      assert.is_true(pool:join(helper.LIMIT))
      assert.is_true(helper.now() - before < 1 + helper.TOLERANCE)
    end)
  end)

  it("ends when nobody has it any more", function()
    local out = helper.output([[
      local mp = require "multiprocessing"
      mp.Pool(2):apply_async(mp.sleep, {60})
      collectgarbage()
      collectgarbage()
      while mp.stats().processes > 1 do mp.sleep(0.01) end
      print("ended")
    ]])
    assert.equal("ended\n", out)
  end)

  it("calls the initializer in each worker", function()
    with({processes = 2, initializer = function(a, b) _G.pool_spec_set = a + b end, initargs = {3, 4}}, function(pool)
      assert.equal(7, pool:apply(function() return _G.pool_spec_set end))
    end)
  end)

  it("is broken when its initializer fails, and says why", function()
    local pool <close> = mp.Pool(1, function() error("no luck", 0) end)
    local result = pool:apply_async(square, {1})
    local err = fails("WorkerLostError", "initializer.*no luck", result.get, result, helper.LIMIT)
    assert.matches("traceback", err.traceback)
    helper.eventually(function()
      local _, e = pcall(pool.apply_async, pool, square, {1})
      return mp.WorkerLostError:is(e)
    end)
  end)

  it("replaces workers after maxtasksperchild tasks", function()
    with({processes = 1, maxtasksperchild = 2}, function(pool)
      local pids = pool:map(function() return mp.getpid() end, mp.range(6), 1)
      assert.is_true(pids[1] == pids[2] and pids[2] ~= pids[3] and pids[3] == pids[4] and pids[4] ~= pids[5])
    end)
  end)

  it("names its workers, which know their creator", function()
    with(1, function(pool)
      local name, parent, daemon = pool:apply(function()
        return mp.current_process().name, mp.parent_process().pid, mp.current_process().daemon
      end)
      assert.matches("^ForkPoolWorker%-%d+$", name)
      assert.equal(mp.getpid(), parent)
      assert.is_false(daemon)
    end)
  end)

  it("draws other random numbers in each worker", function()
    with(2, function(pool)
      local barrier = mp.Value("i", 0)
      local function draw(v)
        v:add(1)
        while v.value < 2 do mp.sleep(0.001) end
        return math.random(0)
      end
      local drawn = pool:map(draw, {barrier, barrier}, 1)
      assert.not_equal(drawn[1], drawn[2])
    end)
  end)

  it("has its workers' output in order, and none lost or doubled", function()
    local out = helper.output([[
      local mp = require "multiprocessing"
      io.write("before\n")
      local pool = mp.Pool(1)
      pool:map(function(n) io.write("item ", n, "\n") end, {1, 2, 3}, 2)
      pool:apply(io.write, {"last\n"})
      pool:close()
      pool:join()
    ]])
    assert.equal("before\nitem 1\nitem 2\nitem 3\nlast\n", out)
  end)

  it("counts", function()
    with(2, function(pool)
      pool:map(square, {1, 2, 3, 4}, 1)
      local stats = pool:stats()
      assert.equal(4, stats.done)
      assert.equal(2, stats.workers)
      assert.equal(0, stats.failed + stats.lost + stats.restarted + stats.waiting + stats.running)
    end)
  end)
end)
