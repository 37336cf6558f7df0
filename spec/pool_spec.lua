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

  it("raises any other value as it was", helper.promptly(function()
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
  end))

  it("names what cannot be sent, on the way out and back", helper.promptly(function()
    with(1, function(pool)
      fails("SerializationError", "args%[2%]%.a: a thread cannot be sent", pool.apply, pool, square,
        {1, {a = coroutine.create(print)}})
      fails("SerializationError", "result%[1%]%.b: a thread cannot be sent", pool.apply, pool,
        function() return {b = coroutine.create(print)} end)
      fails("SerializationError", "iterable%[3%]: a thread cannot be sent", pool.map, pool, square,
        {1, 2, coroutine.create(print)}, 1)
    end)
  end))
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
      for _, name in ipairs {"starmap", "starmap_async"} do
        local err = fails("TypeError", "starmap needs lists of arguments, got 1 as item 2",
          function() pool[name](pool, square, {{2}, 1}) end)
        assert.matches("pool_spec.lua:%d+:", err.where)
        fails("ValueError", "n of iterable%[2%] must be from 0 to 990000, got %-1$",
          pool[name], pool, square, {{2}, {n = -1}})
        fails("ValueError", "from 0 to 990000, got 990001$", pool[name], pool, square, {{n = 990001}})
      end
      assert.same({n = 2, 3, 0}, pool:starmap(function(...) return select("#", ...) end, {{n = 3}, {1, n = 0}}))
    end)
  end)

  it("does not fill the memory with what no worker can take yet", function()
    local out = helper.output([[
      local mp = require "multiprocessing"
      local pool <close> = mp.Pool(2)
      local items = {}
      for i = 1, 200 do items[i] = ("x"):rep(1 << 20) end
      print(#pool:map(string.len, items, 1))
    ]], {env = {MULTIPROCESSING_MEMORY = "96M"}})
    assert.equal("200\n", out)
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

  it("leaves nothing behind when it is dropped", function()
    with(1, function(pool)
      local function rounds(n)
        for i = 1, n do
          local text = ("x"):rep(2000) .. i
          assert.equal(2000 + #tostring(i), pool:apply(function() return #text end))
        end
        collectgarbage()
        collectgarbage()
        return mp.stats().bytes
      end
      rounds(300)
      local before = rounds(50)
      assert.is_true(rounds(1000) - before < 100000)
    end)
  end)

  it("finds what a module loads when it is asked for", function()
    local out = helper.output([[
      local mp = require "multiprocessing"
      local pool <close> = mp.Pool(1)
      pool:apply(mp.sleep, {0})
      print(#pool:apply(mp.range, {3}))
    ]])
    assert.equal("3\n", out)
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

  it("has a callback's error told by join and poll, and the pool lives", helper.promptly(function()
    with(1, function(pool)
      local r = pool:apply_async(square, {2}, nil, function() error("callback", 0) end)
      assert.equal(4, r:get())
      assert.same({false, "callback"}, {pcall(pool.poll, pool)})
      pool:poll()
      assert.equal(9, pool:apply(square, {3}))
      pool:apply_async(square, {2}, nil, function() error("again", 0) end)
      pool:close()
      assert.same({false, "again"}, {pcall(pool.join, pool)})
    end)
  end))
end)

describe("a pool", function()
  it("says in each call what is no function", function()
    with(1, function(pool)
      for name in ("apply apply_async map map_async starmap starmap_async imap imap_unordered"):gmatch "%S+" do
        for _, value in ipairs {5, "text", {}} do
          fails("TypeError", "func must be a function", pool[name], pool, value, {1})
        end
        fails("TypeError", "func must be a function, got nil", pool[name], pool, nil, {1})
      end
    end)
  end)

  it("have no traceback where no function was running", function()
    with(1, function(pool)
      local function thread() return coroutine.create(print) end
      local result = pool:apply_async(thread)
      local err = fails("Error", "", result.get, result)
      assert.is_nil(err.traceback)
      assert.is_nil(tostring(err):find("traceback", 1, true))
    end)
  end)

  it("refuses what makes no sense", helper.promptly(function()
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
  end))

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

  it("ends at once by terminate; what was open is cancelled", helper.promptly(function()
    with(1, function(pool)
      local result = pool:apply_async(mp.sleep, {60})
      local before = helper.now()
      pool:terminate()
      fails("CancelledError", "", result.get, result)
      assert.is_true(pool:join(helper.LIMIT))
      assert.is_true(helper.now() - before < 1 + helper.TOLERANCE)
    end)
  end))

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

  it("is broken when its initializer fails, and says why", helper.promptly(function()
    local tries = mp.Value("i", 0)
    local pool <close> = mp.Pool(2, function(n)
      n:add(1)
      error("no luck", 0)
    end, {tries})
    local result = pool:apply_async(square, {1})
    local err = fails("WorkerLostError", "initializer.*no luck", result.get, result, helper.LIMIT)
    assert.matches("traceback", err.traceback)
    assert.is_true(tries.value >= 1 and tries.value < 10, tries.value .. " tries") -- and no loop
    helper.eventually(function()
      local _, e = pcall(pool.apply_async, pool, square, {1})
      return mp.WorkerLostError:is(e)
    end)
  end))

  it("loses a worker whose task calls os.exit, and nothing else", helper.promptly(function()
    with(2, function(pool)
      local others = pool:map_async(square, mp.range(1, 51), 5)
      for status, how in pairs {[0] = "exit code 0", [7] = "exit code 7"} do
        local err = fails("WorkerLostError", how, pool.apply, pool, os.exit, {status})
        assert.equal(status, err.exitcode)
        assert.matches("exit%(" .. status .. "%)$", err.task)
      end
      assert.equal(2500, others:get(helper.LIMIT)[50])
      assert.equal(9, pool:apply(square, {3}))
    end)
  end))

  it("replaces workers after maxtasksperchild tasks", function()
    with({processes = 1, maxtasksperchild = 2}, function(pool)
      local pids = pool:map(function() return mp.getpid() end, mp.range(6), 1)
      assert.is_true(pids[1] == pids[2] and pids[2] ~= pids[3] and pids[3] == pids[4] and pids[4] ~= pids[5])
    end)
  end)

  it("replaces a worker that has grown too large", function()
    local limit = (helper.SLOW > 1 and 96 or 16) << 20 -- a sanitizer needs some for itself
    with({processes = 1, max_memory_per_child = limit}, function(pool)
      local function used()
        local file <close> = io.open "/proc/self/status"
        return tonumber(file:read "a":match "RssAnon:%s*(%d+)") << 10
      end
      local function grow(bytes) -- and ends as soon as it is that large
        local kept = _G.pool_spec_kept or {}
        _G.pool_spec_kept = kept
        while used() < bytes do kept[#kept + 1] = ("x"):rep(1 << 20) .. #kept end
        return mp.getpid()
      end
      local small, large = pool:apply(grow, {1000}), pool:apply(grow, {limit + (1 << 20)})
      assert.equal(small, large)
      assert.not_equal(large, pool:apply(grow, {1000}))
      assert.equal(1, pool:stats().restarted)
    end)
  end)

  it("kills a worker that grows too large while it runs a task", function()
    with({processes = 2, max_memory_per_child = 48 << 20}, function(pool)
      local function grow(n)
        local kept = {} -- luacheck: ignore 241
        for i = 1, n do
          kept[i] = ("x"):rep(1 << 20) .. i
          mp.sleep(0.001)
        end
        mp.sleep(n > 1 and 60 or 0)
        return n
      end
      local before = helper.now()
      local large, others = pool:apply_async(grow, {100}), pool:map_async(grow, {1, 1, 1, 1}, 1)
      local err = fails("WorkerLostError", "memory limit", large.get, large, helper.LIMIT)
      assert.matches("grow%(100%)", err.task)
      assert.equal(-9, err.exitcode)
      assert.is_true(helper.now() - before < 2 + helper.TOLERANCE)
      assert.same({n = 4, 1, 1, 1, 1}, others:get(helper.LIMIT))
      assert.equal(1, pool:stats().lost)
      local list = {}
      local results = pool:imap(grow, {1, 100, 1}, {chunksize = 3})
      for i = 1, 3 do list[i] = pcall(results) end
      assert.same({true, false, true}, list)
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
      helper.eventually(function() return pool:stats().workers == 2 end)
      local stats = pool:stats()
      assert.equal(4, stats.done)
      assert.equal(0, stats.failed + stats.lost + stats.restarted + stats.waiting + stats.running)
    end)
  end)
end)

describe("imap", function()
  it("gives index and value in order, imap_unordered as they come", function()
    with(2, function(pool)
      for _, chunk in ipairs {1, 3, 100} do
        local n = 0
        for i, v in pool:imap(square, mp.range(1, 31), chunk) do
          n = n + 1
          assert.same({n, n * n}, {i, v})
        end
        assert.equal(30, n)
        local seen = {}
        for i, v in pool:imap_unordered(square, mp.range(1, 31), chunk) do seen[i] = v end
        for i = 1, 30 do assert.equal(i * i, seen[i]) end
      end
      assert.is_nil((pool:imap(square, {})()))
    end)
  end)

  it("draws no further than the buffer goes, from endless iterators too", function()
    with(2, function(pool)
      for _, name in ipairs {"imap", "imap_unordered"} do
        local drawn = 0
        local results = pool[name](pool, square, function() drawn = drawn + 1 return drawn end, 2, 6)
        for n = 1, 50 do
          assert.is_number(results())
          assert.is_true(drawn - n <= 6, drawn .. " drawn when " .. n .. " were given")
        end
      end
    end)
  end)

  it("runs each item with the function as it was when the item was drawn", function()
    with(1, function(pool)
      for _, name in ipairs {"imap", "imap_unordered"} do
        local base, n = 0, 0
        local function add(x) return x + base end
        local results = pool[name](pool, add, function()
          n, base = n + 1, base + 1000
          collectgarbage()
          if n <= 40 then return n end
        end)
        for i, v in results do assert.equal(i * 1001, v) end
      end
    end)
  end)

  it("raises an item's error in its turn, and goes on", function()
    with(1, function(pool)
      local results = pool:imap(function(n)
        if n == 2 then error("two", 0) end
        return n ~= 3 and n or nil
      end, {1, 2, 3, 4})
      assert.same({1, 1}, {results()})
      fails("RemoteError", "two", results)
      assert.same({n = 2, 3}, table.pack(results()))
      assert.same({4, 4}, {results()})
      assert.is_nil((results()))
      assert.is_nil((results()))
    end)
  end)

  it("raises what its input raises, or what cannot be sent, in its turn", function()
    with(1, function(pool)
      local n = 0
      local results = pool:imap(square, function()
        n = n + 1
        if n == 2 then return coroutine.create(print) end
        if n == 4 then error("no more", 0) end
        return n
      end)
      assert.same({1, 1}, {results()})
      fails("SerializationError", "a thread cannot be sent", results)
      assert.same({3, 9}, {results()})
      assert.same({false, "no more"}, {pcall(results)})
      assert.is_nil((results()))
    end)
  end)

  it("has a next with a timeout", function()
    with(1, function(pool)
      local results = pool:imap(mp.sleep, {0.1})
      fails("TimeoutError", "not there", results.next, results, 0.01)
      assert.equal(1, (results:next(helper.LIMIT)))
    end)
  end)

  it("goes on after close, and is cancelled by terminate", function()
    local pool <close> = mp.Pool(1)
    local results = pool:imap(square, {1, 2})
    pool:close()
    assert.same({1, 1}, {results()})
    assert.same({2, 4}, {results()})
    local other <close> = mp.Pool(1)
    results = other:imap(mp.sleep, {60, 60})
    other:terminate()
    fails("CancelledError", "", results)
    fails("CancelledError", "", results)
    assert.is_nil((results()))
  end)
end)

describe("options", function()
  it("limit how long a task may run", function()
    with(1, function(pool)
      local before = helper.now()
      local err = fails("TimeoutError", "ran too long", pool.apply, pool, {func = mp.sleep, args = {60}, timeout = 0.1})
      assert.matches("sleep%(60%)", err.task)
      assert.is_true(helper.now() - before < 1 + helper.TOLERANCE)
      local list = {}
      local results = pool:imap(function(n) mp.sleep(n) return n end, {0, 60, 0}, {chunksize = 3, timeout = 0.2})
      for i = 1, 3 do list[i] = pcall(results) end
      assert.same({true, false, true}, list)
    end)
  end)

  it("run a task again whose worker died", function()
    with(1, function(pool)
      local runs = mp.Value("i", 0)
      local function third(v)
        if v:add(1) < 3 then os.exit(1) end
        return "done"
      end
      assert.equal("done", pool:apply {func = third, args = {runs}, retries = 2})
      runs.value = 0
      fails("WorkerLostError", "exit code 1", pool.apply, pool, {func = third, args = {runs}, retries = 1})
      assert.equal(2, runs.value)
    end)
  end)

  it("tell a function how far a map is", function()
    with(2, function(pool)
      for _, name in ipairs {"map", "imap"} do
        local last, calls = 0, 0
        local results = pool[name](pool, square, mp.range(1, 101), {progress = function(done, total)
          assert(done > last and total == 100)
          last, calls = done, calls + 1
        end})
        if name == "imap" then for _ in results do end end -- luacheck: ignore 542
        assert.equal(100, last)
        assert.is_true(calls >= 10)
      end
      fails("TypeError", "progress", pool.map, pool, square, {1}, {progress = 5})
    end)
  end)

  it("draw a line", function()
    local program = [[
      local mp = require "multiprocessing"
      local pool <close> = mp.Pool(1)
      pool:map(function() mp.sleep(0.05) end, mp.range(8), {progress = "naps"})
    ]]
    local run = helper.run(program)
    assert.matches("^naps: 8/8 100%% %d+%.%d/s in %d+%.%d s\n$", run.stderr)
    run = helper.run(program, {pty = true})
    local shown = run.stdout .. run.stderr
    assert.matches("\rnaps: [1-7]/8 .* left", shown)
    assert.matches("\rnaps: 8/8 100%%", shown)
  end)
end)

describe("cancel", function()
  it("takes a waiting task out of the line, or has its worker killed", function()
    with(1, function(pool)
      local running = pool:apply_async(mp.sleep, {60})
      local waiting = pool:apply_async(square, {1})
      local map = pool:map_async(square, {1, 2, 3}, 1)
      helper.eventually(function() return pool:stats().running == 1 end)
      assert.is_true(waiting:cancel())
      assert.is_true(map:cancel())
      assert.is_true(running:cancel())
      for _, result in ipairs {running, waiting, map} do
        fails("CancelledError", "cancelled", result.get, result)
        assert.is_false(result:cancel())
      end
      assert.equal(9, pool:apply(square, {3}))
    end)
  end)
end)
