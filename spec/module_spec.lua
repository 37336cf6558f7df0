-- The module as a whole: its names, time and numbers, the session; and what all handles share.
local helper = require "spec.helper"
local core = require "spec.support.binding"
local mp = require "multiprocessing"
local raised = require "spec.support.raised"
local failure, refuses = raised.failure, raised.refuses

describe("the module", function()
  it("has its names when they are asked for, and no others", function()
    assert.equal("function", type(mp.sleep))
    assert.equal(mp.sleep, rawget(mp, "sleep"))
    assert.is_nil(mp.no_such_name)
    assert.is_nil(mp[1])
    assert.truthy(mp._VERSION:find("^multiprocessing %d"))
  end)

  it("loads little at first", function()
    assert.equal("multiprocessing multiprocessing.core multiprocessing.errors\n", helper.output [[
      local before = {}
      for name in pairs(package.loaded) do before[name] = true end
      require "multiprocessing"
      local new = {}
      for name in pairs(package.loaded) do if not before[name] then new[#new + 1] = name end end
      table.sort(new)
      print(table.concat(new, " "))]])
  end)
end)

describe("time", function()
  it("is wall clock and monotonic", function()
    assert.is_true(math.abs(mp.time() - os.time()) < 2)
    local a = mp.monotonic()
    assert.is_true(mp.monotonic() >= a)
    assert.equal("float", math.type(a))
  end)

  it("passes in sleep, not less and not much more", function()
    local start = mp.monotonic()
    mp.sleep(0.1)
    local passed = mp.monotonic() - start
    assert.is_true(passed >= 0.1 and passed < 0.1 + helper.TOLERANCE, tostring(passed))
    mp.sleep(0)
    mp.sleep(-1)
  end)

  it("may pass in another way, for who has callbacks to run", function()
    local asked
    core.sleep_by(function(seconds) asked = seconds end)
    mp.sleep(1000)
    assert.equal(1000, asked)
    refuses("ValueError", "seconds must not be nan", mp.sleep, 0 / 0)
    core.sleep_by(nil)
    asked = nil
    mp.sleep(0)
    assert.is_nil(asked)
  end)

  it("is refused otherwise", function()
    refuses("TypeError", "bad argument #1 to 'sleep' (number expected, got nil)", mp.sleep, nil)
    refuses("TypeError", "bad argument #1 to 'sleep' (number expected, got no value)", mp.sleep)
    refuses("TypeError", "bad argument #1 to 'sleep' (number expected, got string)", mp.sleep, "1")
    refuses("ValueError", "seconds must not be nan", mp.sleep, 0 / 0)
  end)
end)

describe("numbers", function()
  it("tell the process and the machine", function()
    local pid, ppid = helper.output [[
      local mp = require "multiprocessing"
      print(mp.getpid(), mp.getppid())]]:match("(%d+)\t(%d+)")
    assert.truthy(pid ~= ppid)
    local status <close> = assert(io.open "/proc/self/stat")
    assert.equal(tonumber(status:read("a"):match("^%d+")), mp.getpid())
    assert.equal("integer", math.type(mp.cpu_count()))
    assert.is_true(mp.cpu_count() >= 1)
    assert.is_true(mp.process_cpu_count() >= 1 and mp.process_cpu_count() <= mp.cpu_count())
  end)
end)

describe("range", function()
  it("is Python's", function()
    assert.same({0, 1, 2}, mp.range(3))
    assert.same({2, 3}, mp.range(2, 4))
    assert.same({5, 3, 1}, mp.range(5, 0, -2))
    assert.same({0, 2, 4}, mp.range(0, 5, 2))
    assert.same({}, mp.range(0))
    assert.same({}, mp.range(3, 3))
    assert.same({}, mp.range(1, 5, -1))
    assert.same({0, 1}, mp.range(2.0))
    assert.equal(0, #mp.range(math.mininteger))
    assert.same({math.maxinteger - 1}, mp.range(math.maxinteger - 1, math.maxinteger))
    assert.same({math.mininteger + 1}, mp.range(math.mininteger + 1, math.mininteger, -1))
  end)

  it("is refused for what is no integer", function()
    refuses("TypeError", 'stop must be an integer, got "x"', mp.range, "x")
    refuses("TypeError", "stop must be an integer, got nil", mp.range)
    refuses("TypeError", "start must be an integer, got 0.5", mp.range, 0.5, 2)
    refuses("TypeError", "step must be an integer, got a table", mp.range, 1, 2, {})
    refuses("ValueError", "step must not be zero", mp.range, 1, 2, 0)
  end)
end)

describe("repr", function()
  it("is Lua that gives the value again", function()
    local values = {1, -1, 1.0, 0.1, 1 / 3, 1e300, 5e-324, math.mininteger, math.maxinteger, 2 ^ 53, -0.0,
      "x", "", 'a"b\\c\n\r\t\0\1', "é", "\xff\xfe", true, false, math.huge, -math.huge, {}, {1, {2, {}}},
      {a = 1, ["end"] = 2, [1.5] = 3, [true] = 4, ["two words"] = 5}, {1, 2, nil, 4}}
    for _, value in ipairs(values) do
      local copy = load("return " .. mp.repr(value))()
      assert.same(value, copy)
      assert.equal(math.type(value), math.type(copy))
    end
    assert.equal("0/0", mp.repr(0 / 0))
    assert.equal("nil", mp.repr(nil))
  end)

  it("sorts the keys", function()
    assert.equal(
      '{1, 2, [2.5] = 4, [10] = 3, a = 1, b = {x = 1, y = 2}, ["c d"] = 3, [false] = 0}',
      mp.repr {1, 2, [10] = 3, [2.5] = 4, b = {y = 2, x = 1}, a = 1, ["c d"] = 3, [false] = 0})
  end)

  it("ends in spite of cycles, and asks objects for their text", function()
    local t = {1}
    t.self, t.twice = t, {t[1], {}}
    assert.equal("{1, self = {...}, twice = {1, {}}}", mp.repr(t))
    assert.equal("<I>", mp.repr(setmetatable({}, {__tostring = function() return "<I>" end})))
  end)
end)

describe("the session", function()
  it("tells its numbers", function()
    local before = mp.stats()
    local thing = core.thing()
    local stats = mp.stats()
    assert.is_true(stats.bytes >= before.bytes and stats.limit > stats.bytes)
    assert.equal(1, stats.processes)
    assert.equal((before.objects.Array or 0) + 1, stats.objects.Array)
    thing:close()
    assert.is_true(mp.check())
  end)

  it("tells who is there", function()
    assert.truthy(mp.dump():find("session: 1 processes, ", 1, true))
    assert.truthy(mp.dump():find(("\nprocess %d"):format(mp.getpid()), 1, true))
  end)

  it("has the limit that was set before its first use", function()
    local set = [[local mp = require "multiprocessing"
      mp.set_memory_limit(64 << 20)
      print(mp.stats().limit)
      local ok, err = pcall(mp.set_memory_limit, 1 << 30)
      print(ok, err.kind)]]
    assert.equal("67108864\nfalse\tProcessError\n", helper.output(set))
    local ask = 'print(require("multiprocessing").stats().limit)'
    for text, bytes in pairs {["128M"] = 128 << 20, ["70000k"] = 70000 << 10, ["1G"] = 1 << 30} do
      assert.equal(bytes .. "\n", helper.output(ask, {env = {MULTIPROCESSING_MEMORY = text}}))
    end
    for _, text in ipairs {"x", "12X", "-5", "0", "1MM", "99999999999999999999", "99999999999T"} do
      local run = helper.run(ask, {env = {MULTIPROCESSING_MEMORY = text}})
      assert.equal(1, run.status, text)
      local complaint = 'ValueError: MULTIPROCESSING_MEMORY must be a size as 256M, got "%s"'
      assert.truthy(run.stderr:find(complaint:format(text), 1, true), run.stderr)
    end
  end)

  it("refuses a limit that is none", function()
    local set, bad = mp.set_memory_limit, "bad argument #1 to 'set_memory_limit' (integer expected, got "
    refuses("TypeError", bad .. "string)", set, "1")
    refuses("TypeError", bad .. "number)", set, 1.5)
    refuses("ValueError", "the memory limit must be positive, got -1", set, -1)
  end)
end)

describe("a handle", function()
  it("is refused where it is of another type", function()
    local thing, stay = core.thing(), core.stay
    for _, value in ipairs {1, "x", true, {}, print, io.stdout, core.foreign(0), core.foreign(8), core.foreign(64),
      core.light(), coroutine.create(print), thing.touch} do
      local err = failure(thing.touch, value)
      assert.equal("TypeError", err.kind)
      assert.truthy(err.message:find("Thing expected, got ", 1, true), err.message)
    end
    refuses("TypeError", "bad argument #1 to 'touch' (Thing expected, got no value)", function() thing.touch() end)
    assert.truthy(failure(thing.touch, stay()).message:find("Thing expected, got Stay", 1, true))
    local other = {touch = thing.touch}
    refuses("TypeError", "calling 'touch' on bad self (Thing expected, got table)", function() other:touch() end)
  end)

  it("has the methods of the type that it is derived from, also later ones", function()
    local special = core.special()
    assert.is_true(special:touch())
    core.methods("Thing").twice = function(self) return self:touch() and self:touch() end
    assert.is_true(special:twice())
    core.methods("Thing").twice = nil
    refuses("ValueError", "the special thing is closed", function() special:close() special:touch() end)
    assert.is_false(pcall(core.methods, "Nothing"))
  end)

  it("is refused once it is closed, which may be done twice", function()
    local thing = core.thing()
    assert.is_true(thing:touch())
    thing:close()
    thing:close()
    refuses("ValueError", "the thing is closed", thing.touch, thing)
    refuses("ValueError", "the thing is closed", thing.wait, thing, 0)
    assert.equal("Thing (closed)", tostring(thing))
    getmetatable(thing).__gc(thing)
    getmetatable(thing).__gc(thing)
    assert.equal("TypeError", failure(thing.touch, thing).kind)
  end)

  it("is closed at the end of its scope", function()
    local kept
    do
      local thing <close> = core.thing()
      kept = thing
    end
    refuses("ValueError", "the thing is closed", kept.touch, kept)
  end)

  it("says what it is", function()
    assert.truthy(tostring(core.thing()):find("^Thing #%d+ %(0%)$"))
    assert.truthy(tostring(core.special()):find("^Special #%d+$"))
  end)

  it("takes no finalizer's call for anything else", function()
    local gc = getmetatable(core.thing()).__gc
    for _, value in ipairs {1, "x", {}, io.stdout, core.foreign(8), core.light()} do gc(value) end
    gc()
  end)

  it("gives its object up when it is collected", function()
    collectgarbage()
    collectgarbage()
    local before = mp.stats().objects.Array or 0
    for _ = 1, 100 do core.thing() end
    collectgarbage()
    collectgarbage()
    assert.equal(before, mp.stats().objects.Array or 0)
    assert.is_true(mp.check())
  end)
end)

describe("a handle that travels", function()
  it("arrives as another handle of the same object, of the right type", function()
    local thing, special = core.thing(), core.special()
    local copy, tickets = core.through {thing, special, {thing}}
    assert.equal(2, tickets)
    assert.is_false(rawequal(thing, copy[1]))
    assert.is_true(thing == copy[1])
    assert.is_true(special == copy[2])
    assert.is_true(rawequal(copy[1], copy[3][1]))
    assert.is_false(thing == copy[2])
    assert.truthy(tostring(copy[1]):find("^Thing #%d+ %(1%)$"))
    thing:close()
    assert.is_true(copy[1]:touch())
    assert.is_false(thing == copy[1])
  end)

  it("may be one of many", function()
    local list = {}
    for i = 1, 50 do list[i] = core.thing() end
    local copy, tickets = core.through(list)
    assert.equal(50, tickets)
    for i = 1, 50 do assert.is_true(list[i] == copy[i]) end
  end)

  it("is refused when closed, or bound to stay, or where data is wanted", function()
    local thing = core.thing()
    assert.equal("value[2]: a Stay cannot be sent", failure(core.through, {1, core.stay()}).message)
    assert.equal("SerializationError", failure(mp.encode, thing).kind)
    thing:close()
    assert.equal("value.x: a closed Thing cannot be sent", failure(core.through, {x = thing}).message)
  end)
end)

describe("a child that was made behind the module's back", function()
  it("has no part in the session, and harms nobody", function()
    local thing = core.thing()
    local text = core.behind(function() return thing:touch() end)
    assert.truthy(text:find(("ProcessError: this handle belongs to process %d;"):format(mp.getpid()), 1, true), text)
    text = core.behind(function() return core.thing() end)
    assert.truthy(text:find("ProcessError: this handle belongs to process ", 1, true), text)
    assert.equal("Thing (of another process)", core.behind(function() return tostring(thing) end))
    assert.equal("nil", core.behind(function()
      thing:close()
      thing = nil
      collectgarbage()
    end))
    assert.is_true(thing:touch())
    assert.is_true(mp.check())
  end)
end)

describe("a state without memory", function()
  -- Runs the code with the n-th request for memory refused, for each n, until all goes well.
  local function starve(code)
    local before = mp.stats().objects.Array or 0
    for n = 1, math.huge do
      local ok, err = core.starve(code, n)
      assert.equal(before, mp.stats().objects.Array or 0)
      if ok then return n end
      assert.truthy(err:find("memory", 1, true), err)
    end
  end

  for name, code in pairs {
    ["makes a handle, or leaves nothing"] = 'require("multiprocessing.core").thing()',
    ["raises an error, or another one"] = [[
      local core = require "multiprocessing.core"
      local ok, err = pcall(core.thing().timeout, core.thing(), 0 / 0)
      if type(err) == "string" then error(err, 0) end]],
    ["takes a handle in, or leaves nothing"] = [[
      local core = require "multiprocessing.core"
      local copy = core.through {core.thing(), core.special()}
      assert(copy[1]:touch())]],
  } do
    it(name, function()
      assert.is_true(starve(code) > 1)
      assert.is_true(mp.check())
    end)
  end
end)

describe("a frantic collector", function()
  it("changes nothing", function()
    collectgarbage("generational")
    collectgarbage("incremental", 1, 1000)
    for i = 1, 100 do
      local thing = core.thing()
      local copy = core.through {thing, core.special(), {i}}
      assert.is_true(copy[1]:touch() and copy[2]:touch() and copy[1] == thing)
      assert.equal("timeout must not be nan", failure(thing.timeout, thing, 0 / 0).message)
      assert.equal(i, copy[3][1])
      if i % 10 == 0 then collectgarbage() end
    end
    collectgarbage("incremental", 200, 100)
    assert.is_true(mp.check())
  end)
end)

-- Programs that are sent SIGINT, as by Ctrl-C, when they have said "ready".
describe("Ctrl-C", function()
  local PRELUDE = [[
    package.path = %q .. package.path
    local core = require "spec.support.binding"
    local mp = require "multiprocessing"
    local function interrupted_after(seconds)
      local pid = mp.getpid()
      os.execute(("(sleep %%s; kill -INT %%d) &"):format(seconds, pid))
    end
  ]]

  local function run(program)
    return helper.run(PRELUDE:format("./?.lua;") .. program, {grace = helper.LIMIT})
  end

  local function prompt(result)
    assert.is_true(result.elapsed < 2 + helper.TOLERANCE, tostring(result.elapsed))
  end

  it("ends a program that sleeps", function()
    local result = run 'interrupted_after(0.2) mp.sleep(100)'
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("interrupted!", 1, true), result.stderr)
    prompt(result)
  end)

  it("ends a wait of any kind", function()
    local result = run 'interrupted_after(0.2) core.thing():park()'
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("interrupted!", 1, true), result.stderr)
    prompt(result)
  end)

  for name, wait in pairs {sleep = "mp.sleep(100)", wait = "core.thing():park()"} do
    it("can be caught, also in a coroutine: " .. name, function()
      local result = run(([[
        interrupted_after(0.2)
        local co = coroutine.wrap(function()
          local ok, err = pcall(function() %s end)
          coroutine.yield(ok, err)
          return "goes on"
        end)
        local ok, err = co()
        print(ok, tostring(err):find("interrupted!", 1, true) ~= nil)
        print(co(), debug.gethook())
        print(core.thing():park(0.05))]]):format(wait))
      assert.equal("false\ttrue\ngoes on\tnil\ntrue\n", result.stdout, helper.describe(result))
      prompt(result)
    end)
  end

  it("stretches no timeout: other signals, and hooks that stay", function()
    local result = run [[
      local calls = 0
      debug.sethook(function() calls = calls + 1 end, "l")
      local pid = mp.getpid()
      os.execute(("(for i in 1 2 3 4 5 6; do sleep 0.05; kill -CONT %d; done) &"):format(pid))
      local thing = core.thing()
      local start = mp.monotonic()
      thing:park(0.5)
      local a = mp.monotonic()
      mp.sleep(0.5)
      local b = mp.monotonic()
      debug.sethook()
      print(a - start, b - a, calls > 0)]]
    local first, second, called = result.stdout:match("^(%S+)\t(%S+)\t(%S+)\n$")
    assert.equal("true", called, helper.describe(result))
    for _, passed in ipairs {tonumber(first), tonumber(second)} do
      assert.is_true(passed >= 0.5 and passed < 0.5 + helper.TOLERANCE, tostring(passed))
    end
  end)
end)
