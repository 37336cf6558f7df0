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
      setmetatable({}, {__gc = function() print("finalizer") end})
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
end)
