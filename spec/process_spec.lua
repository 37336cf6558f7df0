-- Processes: start, join, exit codes, names, classes, arguments, daemons, and what objects say.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local function started(options)
  local p = mp.Process(options)
  p:start()
  return p
end

local function finished(p)
  assert.is_true(p:join(helper.LIMIT))
  return p
end

-- Runs the target in a process to its end, and gives the process.
local function ran(target, ...)
  return finished(started {target = target, args = table.pack(...)})
end

-- Runs it with its standard error in a file: the process, and what it said.
local function complained(target)
  local name = helper.temporary()
  local p = ran(function()
    io.stderr:close()
    io.stderr = assert(io.open(name, "w")) -- luacheck: ignore 122
    target()
  end)
  local file <close> = assert(io.open(name))
  return p, file:read("a")
end

local function raised(kind, text, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(mp[kind]:is(err), tostring(err))
  assert.matches(text, err.message, 1, true)
end

local function run_text(text, options)
  return helper.run("local mp = require 'multiprocessing'\n" .. text, options)
end

describe("a process", function()
  it("runs its target, with its arguments, in a process of its own", function()
    local p = ran(function(a, b, c)
      os.exit(a == 1 and b == nil and c == "x" and mp.getppid() == mp.parent_process().pid and 42 or 1)
    end, 1, nil, "x")
    assert.equal(42, p.exitcode)
    assert.not_equal(mp.getpid(), p.pid)
  end)

  it("has no pid and no exit code before it starts", function()
    local p = mp.Process {target = print}
    assert.is_nil(p.pid)
    assert.is_nil(p.exitcode)
    assert.is_false(p:is_alive())
  end)

  it("needs no target", function()
    assert.equal(0, ran(nil).exitcode)
  end)

  it("takes anything that can be called", function()
    local callable = setmetatable({}, {__call = function(self, a, b) os.exit(a + b + (self and 1 or 0)) end})
    assert.equal(6, ran(callable, 2, 3).exitcode)
  end)

  it("is alive until it has ended", function()
    local p = started {target = mp.sleep, args = {60}}
    assert.is_true(p:is_alive())
    assert.is_nil(p.exitcode)
    p:kill()
    finished(p)
    assert.is_false(p:is_alive())
  end)

  it("shares the objects of its parent", function()
    local value = mp.Value("i", 1)
    local p = started {target = function(v) v.value = v.value + 40 end, args = {value}}
    finished(p)
    assert.equal(41, value.value)
  end)
end)

describe("the arguments", function()
  local function got(options)
    local name = helper.temporary()
    options.target = options.target or function(first, second, ...)
      local file <close> = assert(io.open(name, "w"))
      local rest = {}
      for i, value in ipairs {...} do
        local words = {}
        for k, v in pairs(type(value) == "table" and value or {}) do words[#words + 1] = k .. "=" .. tostring(v) end
        table.sort(words)
        rest[i] = type(value) == "table" and "{" .. table.concat(words, ",") .. "}" or tostring(value)
      end
      file:write(tostring(first), " ", tostring(second), " ", table.concat(rest, " "))
    end
    local p = finished(started(options))
    assert.equal(0, p.exitcode)
    local file <close> = assert(io.open(name))
    return file:read("a")
  end

  it("are a list, whose nils are kept where n counts them", function()
    assert.equal("1 2 ", got {args = {1, 2}})
    assert.equal("nil 2 ", got {args = {nil, 2, n = 2}})
    assert.equal("1 2 3", got {args = {1, 2, 3, 4, n = 3}})
    assert.equal("nil nil ", got {})
  end)

  it("may be named as the function's parameters", function()
    assert.equal("1 2 ", got {kwargs = {second = 2, first = 1}})
    assert.equal("1 2 ", got {args = {1}, kwargs = {second = 2}})
    assert.equal("nil 2 ", got {kwargs = {second = 2}})
  end)

  it("come as one last table where the names are no parameters", function()
    assert.equal("1 2 {x=3,y=4}", got {args = {1}, kwargs = {second = 2, x = 3, y = 4}})
    assert.equal("1 2 3 {x=4}", got {args = {1, 2, 3}, kwargs = {x = 4}})
  end)

  it("are those of when the process was made", function()
    local seen, args, kwargs = mp.Queue(), {1}, {second = 2}
    local p = mp.Process {target = function(first, second) seen:put {first, second} end, args = args, kwargs = kwargs}
    args[1], kwargs.second = "changed", "changed"
    p:start()
    finished(p)
    assert.same({1, 2}, seen:get())
  end)

  it("may not be given twice", function()
    local p, text = complained(function()
      local q = mp.Process {target = function(a) return a end, args = {1}, kwargs = {a = 2}}
      q:run()
    end)
    assert.equal(1, p.exitcode)
    assert.matches("multiple values for argument 'a'", text, 1, true)
  end)
end)

describe("the constructor", function()
  it("names an unknown option's nearest known one", function()
    raised("TypeError", "unknown option 'targt' (did you mean 'target'?)", mp.Process, {targt = print})
  end)

  it("refuses values of wrong types", function()
    raised("TypeError", "target must be a function or nil, got 3", mp.Process, {target = 3})
    raised("TypeError", "args must be a table or nil, got 3", mp.Process, {args = 3})
    raised("TypeError", "name must be a string or nil, got 3", mp.Process, {name = 3})
    raised("TypeError", "daemon must be a boolean or nil, got 3", mp.Process, {daemon = 3})
  end)

  it("takes Python's order, too, and ignores group", function()
    local p = mp.Process(nil, print, "by order", {1}, {}, true)
    assert.equal("by order", p.name)
    assert.is_true(p.daemon)
    assert.equal("x", mp.Process({group = 1, name = "x"}).name)
    local ok, err = pcall(mp.Process, print)
    assert.is_true(not ok and mp.TypeError:is(err))
    assert.matches("say mp.Process{target = f}", err.message)
  end)

  it("says where it was called wrongly", function()
    local _, err = pcall(function() mp.Process {nmae = "x"} end)
    assert.matches("process_spec.lua:%d+: TypeError: unknown option 'nmae'", tostring(err))
  end)
end)

describe("a name", function()
  it("counts the processes of a program, and of a child", function()
    local result = run_text [[
      local function show() print(mp.current_process().name) end
      local function parent()
        show()
        for _ = 1, 2 do
          local p = mp.Process{target = show}
          p:start()
          p:join()
        end
      end
      show()
      local unused = mp.Process{}
      local p = mp.Process{target = parent}
      p:start()
      p:join()
      print(unused.name)
    ]]
    assert.equal("MainProcess\nProcess-2\nProcess-2:1\nProcess-2:2\nProcess-1\n", result.stdout)
  end)

  it("is what was given, or set", function()
    local p = mp.Process {name = "given", target = function() os.exit(mp.current_process().name == "set") end}
    assert.equal("given", p.name)
    p.name = "set"
    p:start()
    assert.equal(0, finished(p).exitcode)
    raised("TypeError", "name must be a string, got 5", function() p.name = 5 end)
  end)
end)

describe("a class of processes", function()
  it("has an init and a run of its own", function()
    local Clock = mp.Process:extend("Clock")
    function Clock:init(interval)
      mp.Process.init(self)
      self.interval = interval
    end
    function Clock:run() os.exit(self.interval) end
    local p = Clock(7)
    assert.matches("^Clock%-%d+$", p.name)
    p:start()
    assert.equal(7, finished(p).exitcode)
    assert.is_true(mp.Process:is(p))
    assert.is_true(Clock:is(p))
    assert.is_false(Clock:is(mp.Process {}))
  end)

  it("may set fields before the base's init", function()
    local Piao = mp.Process:extend("Piao")
    function Piao:init(name)
      self.name, self.daemon, self.colour = name, true, "red"
      mp.Process.init(self)
    end
    local p = Piao("egon")
    assert.equal("egon", p.name)
    assert.is_true(p.daemon)
    assert.equal("red", p.colour)
  end)

  it("passes options on", function()
    local Worker = mp.Process:extend("Worker")
    function Worker:init(name) mp.Process.init(self, {name = name, daemon = true, target = os.exit, args = {4}}) end
    local p = Worker("w")
    assert.equal("w", p.name)
    p:start()
    assert.equal(4, finished(p).exitcode)
  end)

  it("may be extended again, and without a name", function()
    local A = mp.Process:extend("A")
    function A:run() os.exit(self:code()) end
    function A.code() return 1 end
    local B = A:extend()
    function B.code() return 2 end
    local p = B()
    assert.matches("^A%-%d+$", p.name)
    p:start()
    assert.equal(2, finished(p).exitcode)
  end)

  it("must call the base's init", function()
    local Lazy = mp.Process:extend("Lazy")
    function Lazy.init() end
    raised("ProcessError", "Process.init was not called by the init of Lazy", function() Lazy():start() end)
  end)
end)

describe("the exit code", function()
  it("is the status", function()
    assert.equal(0, ran(function() end).exitcode)
    assert.equal(0, ran(function() return 7 end).exitcode)
    assert.equal(3, ran(function() os.exit(3) end).exitcode)
    assert.equal(0, ran(function() os.exit(true) end).exitcode)
    assert.equal(1, ran(function() os.exit(false) end).exitcode)
    assert.equal(0, ran(function() os.exit() end).exitcode)
    assert.equal(44, ran(function() os.exit(300) end).exitcode)
    assert.equal(5, ran(function() coroutine.wrap(function() os.exit(5, true) end)() end).exitcode)
  end)

  it("is minus the signal that killed it", function()
    for method, signal in pairs {terminate = 15, kill = 9} do
      local p = started {target = mp.sleep, args = {60}}
      p[method](p)
      assert.equal(-signal, finished(p).exitcode)
    end
  end)

  it("is 1 after an error, whose traceback it prints", function()
    local p, text = complained(function()
      local function deep() error("no luck") end
      deep()
    end)
    assert.equal(1, p.exitcode)
    assert.equal("Process " .. p.name .. ":\n", text:match("^[^\n]*\n"))
    assert.matches("^[^\n]*\n[^\n]-process_spec.lua:%d+: no luck\nstack traceback:\n", text)
    assert.matches("in upvalue 'deep'", text:gsub("local 'deep'", "upvalue 'deep'"), 1, true)
    assert.is_nil(text:find("busted", 1, true), "the parent's frames are no part of it:\n" .. text)
  end)

  it("is 1 after an error that is no string", function()
    local p, text = complained(function() error(mp.ValueError("a bad value")) end)
    assert.equal(1, p.exitcode)
    assert.matches("ValueError: a bad value", text, 1, true)
    p, text = complained(function() error({}) end)
    assert.equal(1, p.exitcode)
    assert.matches("(error object is a table value)", text, 1, true)
    p, text = complained(function() error() end)
    assert.equal(1, p.exitcode)
    assert.matches("nil", text, 1, true)
  end)
end)

describe("join", function()
  it("waits no longer than it is told", function()
    local p = started {target = mp.sleep, args = {60}}
    local before = helper.now()
    assert.is_false(p:join(0.1))
    local took = helper.now() - before
    assert.is_true(took >= 0.1 and took <= 0.1 + helper.TOLERANCE, "took " .. took)
    assert.is_false(p:join {timeout = 0})
    assert.is_false(p:join(-1))
    p:kill()
    finished(p)
    assert.is_true(p:join())
    assert.is_true(p:join(0))
  end)

  it("wakes at the end", function()
    local p = started {target = mp.sleep, args = {0.1}}
    local before = helper.now()
    assert.is_true(p:join())
    local took = helper.now() - before
    assert.is_true(took >= 0.08 and took <= 0.1 + helper.TOLERANCE, "took " .. took)
  end)

  it("takes seconds", function()
    local p = started {target = print and mp.sleep, args = {60}}
    raised("TypeError", "timeout must be a number or nil, got \"1s\"", p.join, p, "1s")
    raised("ValueError", "timeout must not be nan", p.join, p, 0 / 0)
    p:kill()
    finished(p)
  end)
end)

describe("the sentinel", function()
  it("is a descriptor that is readable at the end", function()
    local p = started {target = mp.sleep, args = {60}}
    local fd = p.sentinel
    assert.equal("integer", math.type(fd))
    assert.equal(fd, p.sentinel)
    p:terminate()
    finished(p)
    assert.equal(fd, p.sentinel)
    p:close()
  end)
end)

describe("misuse", function()
  local ended = function() return ran(function() end) end

  it("is refused before the start", function()
    local p = mp.Process {}
    raised("ProcessError", "can only join a started process", p.join, p)
    raised("ProcessError", "can only terminate a started process", p.terminate, p)
    raised("ProcessError", "process not started", function() return p.sentinel end)
  end)

  it("is refused after the start", function()
    local p = ended()
    raised("ProcessError", "cannot start a process twice", p.start, p)
    raised("ProcessError", "process has already started", function() p.daemon = true end)
    raised("TypeError", "the field pid of a process cannot be set", function() p.pid = 5 end)
  end)

  it("is refused after close", function()
    local p = ended()
    p:close()
    p:close()
    for _, method in ipairs {"join", "is_alive", "start", "terminate", "kill"} do
      raised("ValueError", "process object is closed", p[method], p)
    end
    raised("ValueError", "process object is closed", function() return p.exitcode end)
    raised("ValueError", "process object is closed", function() return p.sentinel end)
  end)

  it("is refused while it runs", function()
    local p = started {target = mp.sleep, args = {60}}
    raised("ValueError", "Cannot close a process while it is still running. "
      .. "You should first call join() or terminate().", p.close, p)
    p:kill()
    finished(p):close()
  end)

  it("is refused in another process", function()
    local unstarted = mp.Process {}
    local brother = started {target = mp.sleep, args = {60}}
    local p, text = complained(function()
      raised("ProcessError", "can only join a child process", brother.join, brother)
      raised("ProcessError", "can only test a child process", brother.is_alive, brother)
      raised("ProcessError", "can only kill a child process", brother.kill, brother)
      raised("ProcessError", "can only start a process object created by current process",
        unstarted.start, unstarted)
      assert.same({}, mp.active_children())
    end)
    assert.equal("", text)
    assert.equal(0, p.exitcode)
    assert.is_true(brother:is_alive())
    brother:kill()
    finished(brother)
  end)

  it("is refused to daemons", function()
    local p, text = complained(function()
      mp.current_process():start()
    end)
    assert.equal(1, p.exitcode)
    assert.matches("cannot start a process twice", text, 1, true)
    local result = run_text [[
      local d = mp.Process{daemon = true, target = function()
        local ok, err = pcall(function() mp.Process{}:start() end)
        print(err.kind, err.message, mp.Process{}.daemon)
      end}
      d:start()
      d:join()
    ]]
    assert.equal("ProcessError\tdaemonic processes are not allowed to have children\ttrue\n", result.stdout)
  end)
end)

describe("what an object says", function()
  it("is its name, pid and end", function()
    local p = mp.Process {name = "teller", target = mp.sleep, args = {60}}
    local parent = mp.getpid()
    assert.equal(("<Process name='teller' parent=%d initial>"):format(parent), tostring(p))
    p:start()
    assert.equal(("<Process name='teller' pid=%d parent=%d started>"):format(p.pid, parent), tostring(p))
    p:kill()
    finished(p)
    assert.equal(("<Process name='teller' pid=%d parent=%d stopped exitcode=-SIGKILL>"):format(p.pid, parent),
      tostring(p))
    p:close()
    assert.equal("<Process name='teller' closed>", tostring(p))
    assert.equal("<Process name='d' parent=" .. parent .. " initial daemon>",
      tostring(mp.Process {name = "d", daemon = true}))
  end)
end)

describe("the processes of a program", function()
  it("are those that run", function()
    assert.same({}, mp.active_children())
    local a = started {target = mp.sleep, args = {60}}
    local b = started {target = mp.sleep, args = {60}}
    local list = mp.active_children()
    assert.equal(2, #list)
    assert.equal(a, list[1])
    assert.equal(b, list[2])
    a:kill()
    b:kill()
    finished(a)
    finished(b)
    assert.same({}, mp.active_children())
  end)

  it("are known whatever a hook joins and starts in between", function()
    local gate, me = mp.Semaphore(0), mp.getpid()
    local function wait() gate:acquire() end
    -- The hook runs after so many instructions. Does it come before the start is over?
    local function interfere(count)
      local first, last, between = started {target = function() end}, mp.Process {target = wait, daemon = true}, nil
      mp.connection.wait {first.sentinel}
      debug.sethook(function()
        debug.sethook()
        if mp.getpid() ~= me then return end
        finished(first)
        between = started {target = wait, daemon = true}
      end, "", count)
      last:start()
      debug.sethook()
      finished(first)
      local active = mp.active_children()
      for _ in ipairs {last, between} do gate:release() end
      for _, p in ipairs {last, between} do finished(p) end
      assert.equal(between and 2 or 1, #active)
      assert.is_true(active[1] == last and active[2] == between)
      return between ~= nil
    end
    local count = 1
    while interfere(count) do count = count + 1 end
    assert.is_true(count > 50)
  end)

  it("are reaped by active_children and by start", function()
    for _, reap in ipairs {mp.active_children, function() ran(function() end) end} do
      local p = started {target = function() end}
      local state = ("/proc/%d/stat"):format(p.pid)
      helper.eventually(function()
        local file = io.open(state)
        if not file then return true end
        local text = file:read("a")
        file:close()
        return text:find(") Z ", 1, true)
      end)
      reap()
      assert.is_nil(io.open(state))
      assert.equal(0, p.exitcode)
    end
  end)

  it("know themselves and who started them", function()
    assert.is_nil(mp.parent_process())
    assert.equal("MainProcess", mp.current_process().name)
    assert.equal(mp.getpid(), mp.current_process().pid)
    assert.is_true(mp.current_process():is_alive())
    local here = mp.getpid()
    local p, text = complained(function()
      local parent = mp.parent_process()
      assert.equal("MainProcess", parent.name)
      assert.equal(here, parent.pid)
      assert.is_true(parent:is_alive())
      assert.is_false(parent:join(0))
      raised("ProcessError", "can only kill a child process", parent.kill, parent)
      assert.equal(mp.getpid(), mp.current_process().pid)
    end)
    assert.equal("", text)
    assert.equal(0, p.exitcode)
  end)

  it("draw different random numbers", function()
    local name = helper.temporary()
    math.randomseed(42)
    local processes = {}
    for i = 1, 4 do
      processes[i] = started {target = function()
        local file <close> = assert(io.open(name, "a"))
        file:write(math.random(1 << 60), "\n")
      end}
    end
    for _, p in ipairs(processes) do finished(p) end
    local seen = {[math.random(1 << 60)] = true}
    for line in io.lines(name) do
      local number = math.tointeger(line)
      assert.is_nil(seen[number], "drawn twice: " .. line)
      seen[number] = true
    end
  end)

  it("do not share standard input", function()
    local result = helper.run(nil, {command = "sh -c " .. "'" .. [[
      printf "one\ntwo\n" | lua5.4 -e "
        local mp = require [=[multiprocessing]=]
        print(io.read())
        local p = mp.Process{target = function() print(io.read(), io.read([=[a]=])) end}
        p:start() p:join()
        print(io.read())"]] .. "'"})
    assert.equal("one\nnil\t\ntwo\n", result.stdout)
  end)

  it("leave nothing in the session's memory", function()
    local before = mp.stats()
    for _ = 1, 20 do ran(function(value) value.value = 5 end, mp.Value("i", 0)) end
    collectgarbage()
    collectgarbage()
    local after = mp.stats()
    assert.same(before.objects, after.objects)
    assert.equal(before.processes, after.processes)
    assert.is_true(mp.check())
  end)
end)

describe("a bare fork", function()
  it("gives 0 in the child, which goes on as the program", function()
    local result = run_text [[
      io.write("once ")
      local pid = mp.fork()
      if pid == 0 then
        print("child", mp.current_process().name, #mp.active_children())
        os.exit(0)
      end
      while #mp.active_children() > 0 or os.execute("kill -0 " .. pid .. " 2>/dev/null") do mp.sleep(0.01) end
      print("parent", pid > 0)
    ]]
    assert.equal("once child\tMainProcess\t0\nparent\ttrue\n", result.stdout)
  end)

  it("has no say over the children of its parent", function()
    local result = run_text [[
      local p = mp.Process{target = mp.sleep, args = {60}}
      p:start()
      local pid = mp.fork()
      if pid == 0 then
        print(select(2, pcall(p.join, p)).message)
        os.exit(0) -- and this ends none of them
      end
      mp.sleep(0.1)
      print(p:is_alive())
      p:kill()
    ]]
    assert.equal("can only join a child process\ntrue\n", result.stdout)
  end)
end)

describe("start methods", function()
  it("are fork alone so far", function()
    assert.same({"fork"}, mp.get_all_start_methods())
    assert.equal("fork", mp.get_context().get_start_method())
    assert.equal("fork", mp.get_context("fork").get_start_method())
    raised("ProcessError", 'cannot find context for "spawn"; there is fork', mp.get_context, "spawn")
    raised("ValueError", 'cannot find context for "spoon"; there is fork', mp.get_context, "spoon")
  end)

  it("have contexts that are used like the module", function()
    local ctx = mp.get_context("fork")
    local p = ctx.Process {target = os.exit, args = {6}}
    p:start()
    assert.equal(6, finished(p).exitcode)
    assert.equal(mp.Lock, ctx.Lock)
    assert.equal(ctx, mp.get_context("fork"))
  end)

  it("are set once", function()
    local result = run_text [[
      print(mp.get_start_method(true))
      mp.set_start_method("fork")
      local ok, err = pcall(mp.set_start_method, "fork")
      print(err.kind, err.message)
      mp.set_start_method("fork", true)
      print(mp.get_start_method())
      mp.freeze_support()
    ]]
    assert.equal("nil\nProcessError\tcontext has already been set\nfork\n", result.stdout)
  end)
end)

describe("the logger", function()
  it("writes lines with level and process, warnings from the start", function()
    local result = run_text [[
      local logger = mp.get_logger()
      logger:info("not shown")
      logger:warning("shown %d", 1)
      mp.log_to_stderr("info")
      logger:info("100%")
      local p = mp.Process{target = function() logger:error("in the child") end}
      p:start()
      p:join()
      logger:set_level(50)
      logger:error("not shown")
    ]]
    assert.equal("[WARNING/MainProcess] shown 1\n[INFO/MainProcess] 100%\n[ERROR/Process-1] in the child\n",
      result.stderr)
    raised("ValueError", 'a level is "debug", "info", "warning", "error" or a number, got "loud"',
      mp.log_to_stderr, "loud")
  end)
end)
