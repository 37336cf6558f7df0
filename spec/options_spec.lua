-- Options: one by one or as a table, checked in the same words for C and Lua.
require "spec.helper"
local core = require "spec.support.binding"
local mp = require "multiprocessing"
local raised = require "spec.support.raised"
local failure, refuses = raised.failure, raised.refuses

describe("options", function()
  local read = core.options("target:function", "args:table", "timeout:seconds", "count:integer", "ratio:number",
    "name:string", "daemon:boolean", "extra:any")

  it("come one by one", function()
    local args = {}
    local t = table.pack(read(print, args, 2.5, 3, 0.5, "x", false, io.stdout))
    assert.same({n = 8, print, args, 2.5, 3, 0.5, "x", false, io.stdout}, t)
    assert.same({n = 8}, table.pack(read()))
    assert.same({n = 8, print}, table.pack(read(print)))
    assert.same({n = 8, nil, nil, 1}, table.pack(read(nil, nil, 1)))
  end)

  it("come as one table", function()
    assert.same({n = 8, print, nil, 1, nil, nil, "x"}, table.pack(read {name = "x", timeout = 1, target = print}))
    assert.same({n = 8}, table.pack(read {}))
  end)

  it("may be callable objects and integral floats", function()
    local callable = setmetatable({}, {__call = print})
    assert.equal(callable, (read {target = callable}))
    assert.equal(4.0, (select(4, read {count = 4.0})))
  end)

  it("are refused when unknown, naming the nearest", function()
    refuses("TypeError", "unknown option 'timout' (did you mean 'timeout'?)", read, {timout = 1})
    refuses("TypeError", "unknown option 'deamon' (did you mean 'daemon'?)", read, {deamon = true})
    refuses("TypeError", "unknown option 'Name' (did you mean 'name'?)", read, {Name = "x"})
    refuses("TypeError", "unknown option '' (did you mean 'args'?)", read, {[""] = 1})
    local long = ("x"):rep(5000)
    assert.truthy(failure(read, {[long] = 1}).message:find("did you mean", 1, true))
    refuses("TypeError", "an option's name must be a string, got 1", read, {print})
    refuses("TypeError", "an option's name must be a string, got true", read, {[true] = 1})
  end)

  it("are refused when of a wrong type, with the value", function()
    refuses("TypeError", 'timeout must be a number or nil, got "x"', read, {timeout = "x"})
    refuses("TypeError", "target must be a function or nil, got 3", read, 3)
    refuses("TypeError", "args must be a table or nil, got a function", read, {args = print})
    refuses("TypeError", "count must be an integer or nil, got 2.5", read, {count = 2.5})
    refuses("TypeError", 'count must be an integer or nil, got "2"', read, {count = "2"})
    refuses("TypeError", "name must be a string or nil, got a table", read, {name = {}})
    refuses("TypeError", "daemon must be a boolean or nil, got 1", read, {daemon = 1})
    refuses("TypeError", "ratio must be a number or nil, got false", read, {ratio = false})
    refuses("TypeError", "name must be a string or nil, got a FILE*", read, {name = io.stdout})
    refuses("TypeError", 'timeout must be a number or nil, got "' .. ("y"):rep(40) .. '..."', read,
      {timeout = ("y"):rep(100)})
  end)

  it("are refused when not a number", function()
    refuses("ValueError", "timeout must not be nan", read, {timeout = 0 / 0})
    assert.equal(math.huge, (select(3, read {timeout = math.huge})))
  end)
end)

describe("timeouts", function()
  local thing = core.thing()

  local function near(expected, value)
    assert.equal("number", type(value))
    assert.is_true(value <= expected and value > expected - 1, tostring(value))
  end

  it("are nothing, nil, seconds or a table", function()
    assert.equal("forever", thing:timeout())
    assert.equal("forever", thing:timeout(nil))
    assert.equal("forever", thing:timeout {})
    near(5, thing:timeout(5))
    near(5.5, thing:timeout {timeout = 5.5})
  end)

  it("don't wait at zero or less, and wait for ever at infinity", function()
    assert.equal("now", thing:timeout(0))
    assert.equal("now", thing:timeout(-3))
    assert.equal("now", thing:timeout(-math.huge))
    assert.equal("forever", thing:timeout(math.huge))
    assert.equal("forever", thing:timeout(1e300))
    assert.equal("now", thing:timeout(math.mininteger))
    assert.equal("forever", thing:timeout(math.maxinteger))
  end)

  it("follow block", function()
    assert.equal("forever", thing:wait())
    assert.equal("forever", thing:wait(nil))
    assert.equal("forever", thing:wait(true))
    assert.equal("now", thing:wait(false))
    assert.equal("now", thing:wait(false, 5))
    near(5, thing:wait(true, 5))
    near(5, thing:wait(nil, 5))
    assert.equal("now", thing:wait {block = false})
    near(5, thing:wait {timeout = 5})
    assert.equal("now", thing:wait(true, 0))
  end)

  it("are refused otherwise", function()
    refuses("TypeError", 'timeout must be a number or nil, got "1"', thing.timeout, thing, "1")
    refuses("TypeError", "timeout must be a number or nil, got false", thing.timeout, thing, false)
    refuses("ValueError", "timeout must not be nan", thing.timeout, thing, 0 / 0)
    refuses("TypeError", "block must be a boolean or nil, got 1", thing.wait, thing, 1)
    refuses("TypeError", "timeout must be a number or nil, got a function", thing.wait, thing, true, print)
    refuses("TypeError", "unknown option 'bolck' (did you mean 'block'?)", thing.wait, thing, {bolck = false})
    refuses("ValueError", "timeout must not be nan", thing.wait, thing, {timeout = 0 / 0})
  end)

  it("end at their time", function()
    local start = mp.monotonic()
    assert.is_true(thing:park(0.1))
    assert.is_true(mp.monotonic() - start >= 0.1)
  end)
end)

-- What a method says to what it cannot use: an error object at the caller's line.
describe("a wrong argument", function()
  local BAD = {1, "x", true, {}, io.stdout, coroutine.create(print)}

  local function refused_here(kind, f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.is_true(mp[kind]:is(err), tostring(err))
    assert.truthy(err.where and err.where:find("options_spec.lua:", 1, true), tostring(err))
    return err.message
  end

  it("is refused where a function is called under a lock", function()
    for _, make in ipairs {mp.Lock, mp.RLock, mp.Semaphore, mp.BoundedSemaphore, mp.Condition} do
      local lock = make()
      for _, bad in ipairs(BAD) do refused_here("TypeError", lock.with, lock, bad) end
      assert.equal(7, lock:with(setmetatable({}, {__call = function(_, n) return n end}), 7))
    end
    local condition = mp.Condition()
    condition:acquire()
    for _, bad in ipairs(BAD) do
      local message = refused_here("TypeError", condition.wait_for, condition, bad)
      assert.truthy(message:find("to 'wait_for' (function expected", 1, true), message)
    end
    condition:release()
  end)

  it("is refused as a list", function()
    local array = mp.Array("i", 2)
    for _, bad in ipairs {io.stdout, mp.Lock()} do
      refused_here("TypeError", mp.Array, "i", bad)
      refused_here("TypeError", array.assign, array, 1, bad)
      refused_here("TypeError", mp.connection.wait, bad, 0)
    end
    refused_here("ValueError", mp.Queue().put_many, mp.Queue(), {n = -1})
    assert.same({0, 0}, array:slice())
  end)

  it("is refused where a process is needed", function()
    for _, method in ipairs {"start", "run", "join", "is_alive", "terminate", "close", "init"} do
      refused_here("TypeError", mp.Process[method])
      for _, bad in ipairs(BAD) do refused_here("TypeError", mp.Process[method], bad) end
    end
    assert.truthy(refused_here("TypeError", mp.Process.extend, 1):find("got 1", 1, true))
  end)

  it("is refused by the logger, whatever it is to log", function()
    local logger = mp.get_logger()
    local level = logger:get_level()
    logger:set_level("critical")
    for _, method in ipairs {"warning", "log", "set_level", "get_level"} do
      for _, bad in ipairs(BAD) do refused_here("TypeError", logger[method], bad, "debug") end
    end
    refused_here("ValueError", logger.critical, logger, "%d", "x")
    logger:set_level(level)
  end)

  it("is refused where something is to be waited for", function()
    local lock = mp.Lock()
    assert.truthy(refused_here("TypeError", mp.Queue().fileno, lock):find("got Lock", 1, true))
  end)
end)

describe("a number that is too large for what it counts", function()
  it("is refused, or is no limit", function()
    for _, n in ipairs {4095, 1 << 32, (1 << 32) + 1, math.maxinteger} do
      local text = "the number of processes must be at most 4094, got " .. n
      refuses("ValueError", text, mp.Pool, n)
      refuses("ValueError", text, mp.futures.ProcessPoolExecutor, n)
    end
    local pool <close> = mp.Pool {processes = 1, maxtasksperchild = (1 << 32) + 1}
    assert.equal(pool:apply(mp.getpid), pool:apply(mp.getpid))
    assert.equal(1, pool:apply {func = math.abs, args = {-1}, retries = math.maxinteger})
  end)
end)

describe("a sequence's own length", function()
  local function long(value)
    return setmetatable({}, {__len = function() return value end})
  end

  it("must be a count", function()
    local pool <close>, queue = mp.Pool(1), mp.Queue()
    for shown, value in pairs {['"many"'] = "many", ["2.5"] = 2.5, ['"2"'] = "2", ["nil"] = false} do
      value = value or nil
      local text = " must be an integer, got " .. shown
      refuses("TypeError", "the length of iterable" .. text, pool.map, pool, math.abs, long(value))
      refuses("TypeError", "the length of iterable" .. text, pool.imap, pool, math.abs, long(value))
      refuses("TypeError", "the length of values" .. text, queue.put_many, queue, long(value))
    end
    refuses("ValueError", "the length of iterable must not be negative, got -2", pool.map, pool, math.abs, long(-2))
    local err = failure(function() pool:map(math.abs, long("many")) end)
    assert.matches("options_spec.lua:%d+:", err.where)
    assert.same({n = 0}, pool:map(math.abs, long(0.0)))
  end)
end)

describe("a call's args.n", function()
  it("counts the arguments, or is refused", function()
    local pool <close> = mp.Pool(1)
    for _, n in ipairs {-1, math.mininteger, math.maxinteger, 990001} do
      local text = "args.n must be from 0 to 990000, got " .. n
      refuses("ValueError", text, pool.apply, pool, math.abs, {n = n})
      refuses("ValueError", text, pool.apply_async, pool, math.abs, {n = n})
    end
    assert.equal(3, pool:apply(function(...) return select("#", ...) end, {n = 3}))
  end)
end)

describe("a process's args.n", function()
  it("counts the arguments, or is refused when the process is made", function()
    for _, n in ipairs {-1, math.mininteger, math.maxinteger, 990001} do
      refuses("ValueError", "args.n must be from 0 to 990000, got " .. n, mp.Process, {target = print, args = {n = n}})
    end
    local count = mp.Value("i")
    for n, args in pairs {[0] = {n = 0, 1}, [3] = {n = 3}, [2] = {1, 2, n = "many"}, [1] = {1, n = 1.5}} do
      local process = mp.Process {target = function(...) count.value = select("#", ...) end, args = args}
      process:start()
      process:join()
      assert.equal(n, count.value)
      assert.equal(0, process.exitcode)
    end
  end)
end)
