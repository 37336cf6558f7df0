-- How programs and their processes end: output, daemons, errors, kills, Ctrl-C, foreign hosts.
local helper = require "spec.helper"

local function run(text, options)
  local result = helper.run("local mp = require 'multiprocessing'\n" .. text, options)
  assert.same({}, result.left, "processes are left")
  assert.is_false(result.timed_out, "it hung")
  return result
end

local function lines_of(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do list[#list + 1] = line end
  table.sort(list)
  return list
end

local WORKER_AND_DAEMON = [[
  local worker = mp.Process{target = function() mp.sleep(0.1) print "worker's end" end}
  local daemon = mp.Process{daemon = true, target = function() mp.sleep(600) print "daemon's end" end}
  worker:start()
  daemon:start()
]]

describe("the end of a program", function()
  it("terminates daemons and waits for the others", function()
    local result = run(WORKER_AND_DAEMON .. "print 'end!'")
    assert.equal(0, result.status)
    assert.equal("end!\nworker's end\n", result.stdout)
    assert.is_true(result.elapsed >= 0.1)
  end)

  it("is the same by an error", function()
    local result = run(WORKER_AND_DAEMON .. "error 'no luck'")
    assert.equal(1, result.status)
    assert.equal("worker's end\n", result.stdout)
    assert.matches("no luck", result.stderr)
  end)

  it("is the same by os.exit, with and without closing the state", function()
    for _, arguments in ipairs {"7", "7, true"} do
      local result = run(WORKER_AND_DAEMON .. "print 'end!' os.exit(" .. arguments .. ")")
      assert.equal(7, result.status)
      assert.equal("end!\nworker's end\n", result.stdout)
    end
  end)

  it("is the same in a child", function()
    local result = run([[
      local p = mp.Process{target = function() ]] .. WORKER_AND_DAEMON .. [[ os.exit(9) end}
      p:start()
      p:join()
      print(p.exitcode)
    ]])
    assert.equal("worker's end\n9\n", result.stdout)
  end)

  it("waits for nobody that has ended", function()
    local result = run [[
      for i = 1, 5 do mp.Process{target = function() end}:start() end
      mp.sleep(0.1)
    ]]
    assert.equal(0, result.status)
  end)

  it("happens once, whoever ends", function()
    local result = run [[
      held = setmetatable({}, {__gc = function() print("finalizer") end}) -- else it could be collected early
      local p = mp.Process{target = function() print("child") end}
      p:start()
      p:join()
    ]]
    assert.equal("child\nfinalizer\n", result.stdout)
  end)

  it("does not wait in a host that did not ask", function()
    local result = run([[
      arg = nil -- as in a host that embeds Lua
      local daemon = mp.Process{daemon = true, target = mp.sleep, args = {600}}
      daemon:start()
      local p = mp.Process{target = mp.sleep, args = {0.15}}
      p:start()
    ]], {grace = 2})
    assert.equal(0, result.status)
    assert.is_true(result.elapsed < 0.1 + helper.TOLERANCE)
  end)
end)

describe("an executor that nobody shuts down", function()
  -- Four tasks of 50 ms for one worker, each of which writes a line when it is done.
  local PENDING = [[
    local executor = mp.futures.ProcessPoolExecutor(1)
    local function work(i) mp.sleep(0.05) print("task " .. i) return i end
    local function submit() for i = 1, 4 do executor:submit(work, i) end end
  ]]
  local TASKS = "task 1\ntask 2\ntask 3\ntask 4\n"

  it("finishes what was submitted when the script ends", function()
    local result = run(PENDING .. "submit() print 'end!'")
    assert.same({0, "", "end!\n" .. TASKS}, {result.status, result.stderr, result.stdout})
  end)

  it("does so by an error, and by os.exit", function()
    local result = run(PENDING .. "submit() error 'no luck'")
    assert.same({1, TASKS}, {result.status, result.stdout})
    assert.matches("no luck", result.stderr)
    for _, arguments in ipairs {"7", "7, true"} do
      result = run(PENDING .. "submit() os.exit(" .. arguments .. ")")
      assert.same({7, "", TASKS}, {result.status, result.stderr, result.stdout})
    end
  end)

  it("does so when it was shut down without waiting, and when it was collected", function()
    local result = run(PENDING .. "submit() executor:shutdown(false)")
    assert.same({0, TASKS}, {result.status, result.stdout})
    result = run(PENDING .. "submit() executor = nil collectgarbage() collectgarbage() mp.sleep(0.01)")
    assert.same({0, TASKS}, {result.status, result.stdout})
  end)

  it("does so without what was cancelled", function()
    local result = run(PENDING .. [[
      local long = executor:submit(function() mp.sleep(0.3) print "long" end)
      submit()
      while not long:running() do mp.sleep(0.001) end
      executor:shutdown {wait = false, cancel_futures = true}
    ]])
    assert.same({0, "", "long\n"}, {result.status, result.stderr, result.stdout})
  end)

  it("does so in a child", function()
    local result = run(PENDING .. [[
      executor:submit(mp.sleep, 0.3) -- the parent's, and no business of its children
      local function child(how)
        local future
        executor = mp.futures.ProcessPoolExecutor(1)
        submit()
        executor:submit(work, 5):add_done_callback(function(f) print("called " .. f:result()) end)
        how()
      end
      for _, how in ipairs {function() end, function() error("no luck", 0) end, function() os.exit(3) end} do
        local p = mp.Process{target = child, args = {how}}
        p:start()
        p:join()
        print(p.exitcode)
      end
    ]])
    local each = TASKS .. "task 5\n"
    assert.equal(each .. "called 5\n0\n" .. each .. "called 5\n1\n" .. each .. "3\n", result.stdout)
    assert.matches("no luck", result.stderr)
  end)

  it("does so in a worker", function()
    local result = run(PENDING .. [[
      executor:submit(function()
        local inner = mp.futures.ProcessPoolExecutor(1)
        inner:submit(work, 1):add_done_callback(function(f) print("called " .. f:result()) end)
      end)
    ]])
    assert.same({0, "", "task 1\ncalled 1\n"}, {result.status, result.stderr, result.stdout})
  end)

  it("calls back, whatever has been collected or closed by then, but not after os.exit", function()
    local callbacks = PENDING .. [[
      submit()
      local file = io.open(arg[1], "w")
      local function called(f) file:write("called ", f:result(), "\n") end
      executor:submit(work, 5):add_done_callback(called)
      executor:submit(work, 6):add_done_callback(called)
    ]]
    for ending, expected in pairs {[""] = "called 5\ncalled 6\n", ["os.exit(0, true)"] = "called 5\ncalled 6\n",
      ["os.exit(0)"] = ""} do
      local name = helper.temporary()
      local result = run(callbacks .. ending, {args = {name}})
      assert.same({0, "", TASKS .. "task 5\ntask 6\n"}, {result.status, result.stderr, result.stdout})
      local file <close> = io.open(name)
      assert.equal(expected, file:read("a"))
    end
  end)

  it("takes nothing from callbacks at the end, and survives what they raise", function()
    local result = run(PENDING .. [[
      local future = executor:submit(work, 1)
      future:add_done_callback(function() executor:submit(work, 2) end)
      future:add_done_callback(function() print("called") end)
    ]])
    assert.same({0, "task 1\ncalled\n"}, {result.status, result.stdout})
    assert.matches("cannot schedule new futures after shutdown", result.stderr)
  end)

  it("may end by os.exit in a callback", function()
    for arguments, waits in pairs {["5"] = "", ["5, true"] = "mp.sleep(60)"} do
      local result = run(PENDING .. "executor:submit(work, 0):add_done_callback(function() os.exit("
        .. arguments .. ") end) submit()" .. waits)
      assert.same({5, "task 0\n" .. TASKS}, {result.status, result.stdout})
    end
  end)

  it("ends with an initializer that fails, and with lost workers", function()
    local result = run [[
      local function failed(f) print(f:exception().kind) end
      local broken = mp.futures.ProcessPoolExecutor(1, function() error "no start" end)
      broken:submit(print, 1):add_done_callback(failed)
      local other = mp.futures.ProcessPoolExecutor(1)
      other:submit(os.exit, 1):add_done_callback(failed)
      other:submit(print, 2)
    ]]
    assert.equal(0, result.status)
    assert.same({"2", "BrokenProcessPool", "BrokenProcessPool"}, lines_of(result.stdout))
  end)

  it("has its daemons as long as it works", function()
    local result = run(PENDING .. [[
      local queue = mp.Queue()
      mp.Process{daemon = true, target = function()
        for _, text in queue:items() do print(text) io.stdout:flush() end
      end}:start()
      executor:submit(function() mp.sleep(0.1) queue:put("late") mp.sleep(0.05) end)
    ]])
    assert.equal("late\n", result.stdout)
  end)

  it("does not make a host wait that did not ask", function()
    local result = run("arg = nil" .. PENDING .. "executor:submit(mp.sleep, 60)", {grace = 2})
    assert.equal(0, result.status)
    assert.is_true(result.elapsed < helper.TOLERANCE)
  end)
end)

describe("a pool that nobody closes", function()
  it("ends with the script, however that ends", function()
    for ending, status in pairs {[""] = 0, ["error 'no luck'"] = 1, ["os.exit(7)"] = 7, ["os.exit(8, true)"] = 8} do
      local result = run([[
        local pool = mp.Pool(2)
        for i = 1, 10 do pool:apply_async(mp.sleep, {60}, nil, print, print) end
      ]] .. ending)
      assert.same({status, ""}, {result.status, result.stdout})
      assert.is_true(result.elapsed < 2 * helper.TOLERANCE, "took " .. result.elapsed)
    end
  end)
end)

describe("output", function()
  it("that is buffered is neither lost nor doubled", function()
    local result = run [[
      io.stdout:setvbuf("full")
      io.write("parent 1, ")
      local p = mp.Process{target = function() io.write("child, ") end}
      p:start()
      p:join()
      io.write("parent 2\n")
      local q = mp.Process{target = function() io.write("by os.exit\n") os.exit(0) end}
      q:start()
      q:join()
      local r = mp.Process{target = function() io.write("by error\n") error("x") end}
      r:start()
      r:join()
    ]]
    assert.equal("parent 1, child, parent 2\nby os.exit\nby error\n", result.stdout)
  end)

  it("to files goes the same way", function()
    local name = helper.temporary()
    local result = run([[
      local file = io.open(arg[1], "w")
      file:write("parent ")
      local p = mp.Process{target = function() file:write("child ") end}
      p:start()
      p:join()
      file:write("end")
    ]], {args = {name}})
    assert.equal(0, result.status)
    local file <close> = io.open(name)
    assert.equal("parent child end", file:read("a"))
  end)
end)

describe("a killed parent", function()
  local function killed(daemon)
    return run(([[
      local parent = mp.Process{target = function()
        local p = mp.Process{daemon = %s, target = function()
          io.write(mp.getpid(), "\n")
          io.stdout:flush()
          mp.sleep(600)
        end}
        p:start()
        mp.sleep(600)
      end}
      parent:start()
      mp.sleep(0.15)
      parent:kill()
      parent:join()
      io.write(parent.exitcode, "\n")
    ]]):format(daemon))
  end

  it("takes its daemons along", function()
    local result = killed(true)
    assert.matches("^%d+\n%-9\n$", result.stdout)
  end)

  it("wakes a child that waits for it", function()
    local result = run [[
      local parent = mp.Process{name = "the parent", target = function()
        local p = mp.Process{target = function()
          local parent = mp.parent_process()
          print(parent.name, parent:is_alive())
          io.stdout:flush()
          print(parent:join(10), parent:is_alive())
        end}
        p:start()
        mp.sleep(600)
      end}
      parent:start()
      mp.sleep(0.15)
      parent:kill()
      parent:join()
      mp.sleep(0.1)
    ]]
    assert.equal("the parent\ttrue\ntrue\tfalse\n", result.stdout)
  end)
end)

describe("a host", function()
  local function hosted(prefix, text)
    local name = helper.temporary(".lua")
    local file = assert(io.open(name, "w"))
    file:write("local mp = require 'multiprocessing'\n" .. text)
    file:close()
    local lua = os.getenv "LUA" or "lua5.4"
    local result = helper.run(nil, {command = prefix:format(lua .. " " .. name)})
    assert.same({}, result.left)
    return result
  end

  it("may ignore SIGCHLD", function()
    local result = hosted("env --ignore-signal=CHLD %s", [[
      local p = mp.Process{target = function() os.exit(5) end}
      p:start()
      print(p:join(), p.exitcode, p:is_alive())
      local q = mp.Process{target = function()
        local r = mp.Process{target = os.exit, args = {6}}
        r:start()
        r:join()
        os.exit(r.exitcode)
      end}
      q:start()
      q:join()
      print(q.exitcode)
      local k = mp.Process{name = "killed", target = mp.sleep, args = {60}}
      k:start()
      k:kill()
      print(k:join(), k.exitcode)
    ]])
    assert.equal("true\t5\tfalse\n6\ntrue\t255\n", result.stdout)
    assert.matches("%[WARNING/MainProcess%] the exit code of killed %(pid %d+%) is lost", result.stderr)
  end)

  it("with threads is warned, once", function()
    local result = run [[
      require("multiprocessing.core").threads = function() return 3 end -- what the system would say
      for _ = 1, 2 do
        local p = mp.Process{}
        p:start()
        p:join()
      end
    ]]
    assert.matches("^%[WARNING/MainProcess%] this process has 3 threads and forks: [^\n]*\n$", result.stderr)
  end)

  it("may have closed its standard input", function()
    local result = hosted("sh -c 'exec %s <&-'", [[
      local p = mp.Process{target = function() os.exit(io.read("a") == "" and 5 or 1) end}
      p:start()
      p:join()
      print(p.exitcode)
    ]])
    assert.equal("5\n", result.stdout)
  end)
end)

describe("Ctrl-C", function()
  -- sends SIGINT to the whole tree, as a terminal does, and gives the run's result
  local function interrupted(text)
    return run(text .. [[

      local sender = io.popen("kill -INT 0") -- os.execute would keep the signal from us
      mp.sleep(600)
    ]])
  end

  it("ends the whole tree, with one message a process at most", function()
    local result = interrupted [[
      local function work()
        local p = mp.Process{target = mp.sleep, args = {600}}
        p:start()
        p:join()
      end
      for _ = 1, 2 do mp.Process{target = work}:start() end
      mp.Process{target = function() while true do end end}:start()
      mp.Process{target = mp.sleep, args = {600}, daemon = true}:start()
      mp.sleep(0.2)
    ]]
    assert.is_true(result.elapsed < 0.2 + 2 * helper.TOLERANCE, "took " .. result.elapsed)
    local children = {}
    for line in result.stderr:gmatch("Process[^\n]*") do
      assert.is_nil(children[line], "said twice: " .. line)
      children[line] = true
      assert.matches("^Process Process%-[%d:]+: interrupted!$", line)
    end
    assert.same({"lua5.4: "}, lines_of(result.stderr:match("lua5.4: ") or ""))
    assert.matches("interrupted!", result.stderr)
  end)

  it("interrupts a join, and may be caught", function()
    local result = run [[
      local p = mp.Process{target = function()
        local q = mp.Process{target = mp.sleep, args = {600}}
        q:start()
        print(pcall(q.join, q))
        q:kill()
        print(pcall(q.join, q))
        os.exit(8)
      end}
      p:start()
      mp.sleep(0.15)
      p:interrupt()
      p:join()
      print(p.exitcode)
    ]]
    assert.equal("false\tinterrupted!\ntrue\ttrue\n8\n", result.stdout)
  end)

  it("reaches a computation", function()
    local result = run [[
      local p = mp.Process{target = function()
        local ok, err = pcall(function() while true do end end)
        print(ok, err:match("interrupted!$"))
        os.exit(4)
      end}
      p:start()
      mp.sleep(0.1)
      p:interrupt()
      p:join()
      print(p.exitcode)
    ]]
    assert.equal("false\tinterrupted!\n4\n", result.stdout)
  end)

  it("reaches a child in its first moment", function()
    local result = run [[
      for _ = 1, 20 do
        local p = mp.Process{target = mp.sleep, args = {600}}
        p:start()
        p:interrupt()
        p:join()
        print(p.exitcode)
      end
    ]]
    assert.equal(("1\n"):rep(20), result.stdout)
    assert.equal(20, select(2, result.stderr:gsub("Process Process%-%d+: interrupted!\n", "")))
  end)

  it("reaches a child that was started in a coroutine", function()
    local result = run [[
      local p = mp.Process{target = function() while true do end end}
      coroutine.wrap(function() p:start() end)()
      mp.sleep(0.1)
      p:interrupt()
      print(p:join(5), p.exitcode)
    ]]
    assert.equal("true\t1\n", result.stdout)
  end)

  it("ends an executor's work too", function()
    for _, scope in ipairs {"", "<close>"} do
      local result = interrupted("local executor " .. scope .. [[ = mp.futures.ProcessPoolExecutor(1)
        for i = 1, 3 do
          executor:submit(mp.sleep, 60):add_done_callback(function() print "called" end)
        end
        mp.sleep(0.2)
      ]])
      assert.is_true(result.elapsed < 0.2 + 2 * helper.TOLERANCE, "took " .. result.elapsed)
      assert.matches("^lua5.4: [^\n]*interrupted!\n", result.stderr)
      assert.equal("", result.stdout)
    end
  end)

  it("is forgotten by an executor that gets work again", function()
    local result = run [[
      local executor = mp.futures.ProcessPoolExecutor(1)
      local function work(i) mp.sleep(0.1) print("task " .. i) end
      local function parent() return io.open("/proc/self/stat"):read("a"):match("%) %a (%d+)") end
      local supervisor = executor:submit(parent):result()
      local function has_heard() -- and sleeps again
        local status = io.open("/proc/" .. supervisor .. "/status"):read("a")
        local one, all = status:match("SigPnd:%s*(%x+)%s+ShdPnd:%s*(%x+)")
        return status:find("State:%s*S") and (tonumber(one, 16) | tonumber(all, 16)) & 2 == 0
      end
      executor:submit(work, 1)
      print(pcall(function() local _ <close> = io.popen("kill -INT 0") mp.sleep(60) end))
      collectgarbage() -- the pipe is closed now, also if it came too early for that: all have been sent it
      while not has_heard() do mp.sleep(0.001) end
      executor:submit(work, 2)
    ]]
    assert.matches("^false\t[^\n]*interrupted!\ntask 1\ntask 2\n$", result.stdout)
  end)

  it("in a child ends what its executors have left", function()
    local result = run [[
      local p = mp.Process{target = function()
        local executor = mp.futures.ProcessPoolExecutor(1)
        for _ = 1, 2 do executor:submit(mp.sleep, 60) end
      end}
      p:start()
      mp.sleep(0.2)
      p:interrupt()
      print(p:join(5), p.exitcode)
    ]]
    assert.equal("true\t1\n", result.stdout)
  end)
end)
