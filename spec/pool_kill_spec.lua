-- Pools whose processes are killed: what fails is what ran there, and nothing hangs.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local promptly = helper.promptly

local function square(n) return n * n end

local function kill(pid)
  assert(os.execute("kill -9 " .. pid))
end

local function workers_of(pool, count)
  local barrier = mp.Value("i", 0)
  local pids = pool:map(function(v)
    v:add(1)
    while v.value < count do mp.sleep(0.001) end
    return mp.getpid()
  end, {table.unpack({barrier, barrier, barrier, barrier}, 1, count)}, 1)
  return pids
end

local function lost(result)
  local before = helper.now()
  local ok, err = pcall(result.get, result, helper.LIMIT)
  assert.is_false(ok)
  assert(mp.WorkerLostError:is(err), tostring(err))
  assert.is_true(helper.now() - before < helper.PROMPT)
  return err
end

local function ended(pool)
  pool:close()
  assert.is_true(pool:join(helper.LIMIT))
  assert(mp.check())
end

describe("a worker", function()
  it("killed while idle is replaced", promptly(function()
    local pool <close> = mp.Pool(2)
    local pids = workers_of(pool, 2)
    kill(pids[1])
    helper.eventually(function()
      local stats = pool:stats()
      return stats.restarted == 1 and stats.workers == 2
    end, helper.PROMPT)
    for i = 1, 20 do assert.equal(i * i, pool:apply(square, {i})) end
    ended(pool)
  end))

  it("killed while it runs a task costs that task", promptly(function()
    local pool <close> = mp.Pool(2)
    local pid = mp.Value("i", 0)
    local function victim(v, name) -- luacheck: ignore 212
      v.value = mp.getpid()
      mp.sleep(60)
    end
    local doomed = pool:apply_async(victim, {pid, "x"})
    helper.eventually(function() return pid.value ~= 0 end)
    local others = pool:map_async(square, mp.range(1, 51), 5)
    kill(pid.value)
    local err = lost(doomed)
    assert.equal(-9, err.exitcode)
    assert.equal(pid.value, err.pid)
    assert.matches("^victim%(.*\"x\"%)$", err.task)
    assert.equal(2500, others:get()[50])
    ended(pool)
  end))

  it("killed by any signal is said to be, by its name", promptly(function()
    local pool <close> = mp.Pool(1)
    local function die(name)
      os.execute(("kill -%s %d"):format(name, mp.getpid()))
      mp.sleep(60)
    end
    for name, number in pairs {HUP = 1, USR1 = 10, KILL = 9} do
      local err = lost(pool:apply_async(die, {name}))
      assert.matches("was killed by SIG" .. name .. " while it ran", err.message)
      assert.equal(-number, err.exitcode)
    end
    ended(pool)
  end))

  it("killed in the middle of a chunk costs one item", promptly(function()
    local pool <close> = mp.Pool(1)
    local results = pool:imap(function(n)
      if n == 3 then os.execute("kill -9 " .. mp.getpid()) end
      return n
    end, mp.range(1, 7), 6)
    local got = {}
    for i = 1, 6 do
      local ok, _, value = pcall(results)
      got[i] = ok and value
    end
    assert.same({1, 2, false, 4, 5, 6}, got)
    ended(pool)
  end))

  it("killed again and again leaves every result right", promptly(function()
    local pool <close> = mp.Pool(2)
    local results = {}
    for i = 1, 300 do
      results[i] = pool:apply_async {func = function(n)
        if n % 50 == 0 and mp.getpid() % 2 == 0 then os.execute("kill -9 " .. mp.getpid()) end
        return n
      end, args = {i}, retries = 20}
    end
    for i = 1, 300 do assert.equal(i, results[i]:get(helper.LIMIT)) end
    ended(pool)
  end))

  it("killed at random every 50 ms costs no task, and doubles none", function()
    local tasks = os.getenv "TASKS" or "6000" -- TASKS=100000 takes half a minute
    local limit = helper.LIMIT * math.max(1, tonumber(tasks) / 20000)
    local out = helper.output("spec/crash/pool_killer.lua", {env = {TASKS = tasks}, limit = limit})
    local kills, again, wrong = out:match "(%d+) kills, .* (%d+) runs lost and run again, (%d+) wrong"
    assert.equal("0", wrong, out)
    assert.is_true(tonumber(kills) >= 5 and tonumber(again) >= 1, out)
  end)

  it("killed with all others leaves a pool that works", promptly(function()
    local pool <close> = mp.Pool(3)
    local pids = workers_of(pool, 3)
    local results = {}
    for i = 1, 3 do results[i] = pool:apply_async(mp.sleep, {60}) end
    helper.eventually(function() return pool:stats().running == 3 end)
    assert(os.execute("kill -9 " .. table.concat(pids, " ")))
    for i = 1, 3 do lost(results[i]) end
    assert.same({n = 3, 1, 4, 9}, pool:map(square, {1, 2, 3}))
    ended(pool)
  end))

  it("that is stopped holds up its own task, until its time is up", promptly(function()
    local pool <close> = mp.Pool(2)
    local function stop() os.execute("kill -STOP " .. mp.getpid()) end
    local stopped = pool:apply_async {func = stop, timeout = 0.3}
    local results = pool:map(square, mp.range(1, 51), 1)
    assert.equal(2500, results[50])
    local ok, err = pcall(stopped.get, stopped, helper.LIMIT)
    assert(not ok and mp.TimeoutError:is(err), tostring(err))
    for i = 1, 20 do assert.equal(i * i, pool:apply(square, {i})) end
    ended(pool)
  end))

  it("is replaced while its creator does nothing", promptly(function()
    local out = helper.output([[
      local mp = require "multiprocessing"
      local pool <close> = mp.Pool{processes = 1, maxtasksperchild = 1}
      local results = {}
      for i = 1, 5 do results[i] = pool:apply_async(function(n) return n end, {i}) end
      local stop = mp.monotonic() + 1
      while mp.monotonic() < stop do end
      print(pool:stats().done)
    ]])
    assert.equal("5\n", out)
  end))
end)

describe("a pool", function()
  it("whose supervisor is killed is broken, and says so", promptly(function()
    local pool <close> = mp.Pool(2)
    local supervisor = pool:apply(mp.getppid)
    local result = pool:apply_async(mp.sleep, {60})
    helper.eventually(function() return pool:stats().running == 1 end)
    kill(supervisor)
    lost(result)
    local ok, err = pcall(pool.apply, pool, square, {1})
    assert.is_false(ok)
    assert(mp.WorkerLostError:is(err), tostring(err))
    pool:terminate()
    assert.is_true(pool:join(helper.LIMIT))
  end))

  it("leaves no process when its creator is killed", promptly(function()
    local run = helper.run([[
      local mp = require "multiprocessing"
      local pool = mp.Pool(3)
      pool:map_async(mp.sleep, {60, 60, 60})
      while pool:stats().running < 3 do mp.sleep(0.01) end
      os.execute("kill -9 " .. mp.getpid())
    ]])
    assert.equal(9, run.signal)
    assert.same({}, run.left)
  end))

  for name, ending in pairs {["its end"] = "", ["an error"] = "error('x')", ["os.exit"] = "os.exit(0)",
      ["os.exit that closes the state"] = "os.exit(0, true)"} do
    it("leaves no process when its creator's script ends by " .. name, promptly(function()
      local run = helper.run([[
        local mp = require "multiprocessing"
        local pool = mp.Pool(2)
        pool:map_async(mp.sleep, {60, 60})
        while pool:stats().running < 2 do mp.sleep(0.01) end
      ]] .. ending)
      assert.equal(name == "an error" and 1 or 0, run.status, helper.describe(run))
      assert.is_true(run.elapsed < helper.PROMPT, helper.describe(run))
      assert.same({}, run.left)
    end))
  end

  it("has tasks that fork, and that start processes of their own", promptly(function()
    local pool <close> = mp.Pool(1)
    local function forks()
      local pid = mp.fork()
      if pid == 0 then os.exit(0) end
      return pid
    end
    assert.is_true(pool:apply(forks) > 0)
    local function starts()
      local p = mp.Process {target = os.exit, args = {7}}
      p:start()
      p:join()
      return p.exitcode, p.name
    end
    local code, name = pool:apply(starts)
    assert.equal(7, code)
    assert.matches("^Process%-%d+:1$", name)
    ended(pool)
  end))

  it("has workers that get all signals", promptly(function()
    local pool <close> = mp.Pool(1)
    local blocked = pool:apply(function()
      local file <close> = io.open "/proc/self/status"
      return file:read "a":match "SigBlk:%s*(%x+)"
    end)
    assert.matches("^0+$", blocked)
  end))

  it("takes the processes that its tasks have started along", promptly(function()
    local run = helper.run([[
      local mp = require "multiprocessing"
      local pool = mp.Pool(1)
      local up = mp.Value("i", 0)
      pool:apply_async(function(v)
        local p = mp.Process{target = function(w)
          local q = mp.Process{target = function(u) u:add(1) mp.sleep(60) end, args = {w}}
          q:start()
          q:join()
        end, args = {v}}
        p:start()
        p:join()
      end, {up})
      while up.value == 0 do mp.sleep(0.01) end
      os.execute("kill -9 " .. mp.getpid())
    ]])
    assert.equal(9, run.signal, helper.describe(run))
    assert.same({}, run.left)
  end))

  it("may have pools in its tasks", promptly(function()
    local pool <close> = mp.Pool(2)
    local sums = pool:map(function(n)
      local inner <close> = require("multiprocessing").Pool(2)
      local sum = 0
      for _, v in ipairs(inner:map(function(x) return x * n end, {1, 2, 3})) do sum = sum + v end
      return sum
    end, {1, 10}, 1)
    assert.same({n = 2, 6, 60}, sums)
    ended(pool)
  end))

  it("is one of ten at once", promptly(function()
    local pools = {}
    for i = 1, 10 do pools[i] = mp.Pool(2) end
    local results = {}
    for i = 1, 10 do results[i] = pools[i]:map_async(square, mp.range(1, 11)) end
    for i = 1, 10 do assert.equal(100, results[i]:get(helper.LIMIT)[10]) end
    for i = 1, 10 do ended(pools[i]) end
  end))

  it("can be used by the process that made it only", promptly(function()
    local pool <close> = mp.Pool(1)
    local process = mp.Process {target = function()
      local ok, err = pcall(pool.apply, pool, square, {1})
      os.exit(not ok and mp.ProcessError:is(err) and 3 or 4)
    end}
    process:start()
    assert.is_true(process:join(helper.LIMIT))
    assert.equal(3, process.exitcode)
    assert.equal(4, pool:apply(square, {2}))
    ended(pool)
  end))

  it("ends promptly by Ctrl-C, with one message", promptly(function()
    local run = helper.run([[
      local mp = require "multiprocessing"
      local pool = mp.Pool(2)
      mp.Process{target = function(pid) mp.sleep(0.3) os.execute("kill -INT -" .. pid) end,
        args = {tonumber(io.open("/proc/self/stat"):read("a"):match("%) %S+ %d+ (%d+)"))}}:start()
      pool:map(mp.sleep, {60, 60})
    ]], {pty = true})
    assert.is_true(run.elapsed < 0.3 + 1 + helper.TOLERANCE, helper.describe(run))
    assert.same({}, run.left)
    local _, messages = (run.stdout .. run.stderr):gsub("interrupted!", "")
    assert.equal(1, messages, helper.describe(run))
  end))
end)
