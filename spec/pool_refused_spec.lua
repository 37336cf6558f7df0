-- Pools where the system refuses to start processes.
local helper = require "spec.helper"

-- Another user has no other processes, which would count. Only root can become one.
local AS_ANOTHER = ("setpriv --reuid=%d --clear-groups"):format(700000000 + math.floor(helper.now() * 1000) % 1000000)

local function can_become_another()
  return os.execute(AS_ANOTHER .. " prlimit --nproc=10 lua5.4 -e 'require \"multiprocessing\"' 2>/dev/null") == true
end

-- What the program prints that is run by another user, after `limit`.
local function run_limited(limit, program)
  local script = helper.temporary(".lua")
  local file = assert(io.open(script, "w"))
  file:write('local mp = require "multiprocessing"\n', program)
  file:close()
  assert(os.execute(("chmod 644 '%s'"):format(script)))
  return helper.output(([[os.exit(os.execute("exec %s %s lua5.4 '%s'"))]]):format(AS_ANOTHER, limit, script))
end

describe("a pool, where no process can be started", function()
  local it = can_become_another() and it or pending

  it("says so", function()
    assert.equal("WorkerLostError\tthe pool is broken: no worker can be started: Resource temporarily unavailable\n"
      .. "BrokenProcessPool\n", run_limited("prlimit --nproc=2", [[
        do
          local pool <close> = mp.Pool(2)
          local ok, err = pcall(pool.apply, pool, math.abs, {-1})
          print(err.kind, err.message)
        end
        local executor <close> = mp.futures.ProcessPoolExecutor(1)
        print(executor:submit(math.abs, -1):exception().kind)]]))
  end)

  it("goes on with the workers that it has, and replaces the others later", function()
    assert.equal("WorkerLostError\n1\n1\ntrue\n", run_limited("", [[
      local pool <close> = mp.Pool(2)
      local function both() return pool:stats().workers == 2 end
      while not both() do mp.sleep(0.01) end
      local supervisor = pool:apply(mp.getppid)
      local function limit(n) assert(os.execute(("prlimit --pid %d --nproc=%s:"):format(supervisor, n))) end
      limit(1)
      print(select(2, pcall(pool.apply, pool, os.exit, {3})).kind)
      mp.sleep(1)
      print(pool:apply(math.abs, {-1}))
      print(pool:stats().workers)
      limit(1000)
      for _ = 1, 500 do if not both() then mp.sleep(0.01) end end
      print(both())]]))
  end)
end)

describe("a pool, where memory is used up", function()
  it("ends what cannot be done, and harms nothing", function()
    local output = helper.output [[
      local mp = require "multiprocessing"
      mp.set_memory_limit(1000000)
      local queue = mp.Queue()
      pcall(function() while true do queue:put(("x"):rep(1000)) end end)
      pcall(function() while true do queue:put(1) end end)
      while queue:try_get() do end
      local pool <close> = mp.Pool(2)
      for _ = 1, 3 do
        local ok, err = pcall(pool.map, pool, function() return ("y"):rep(10000) end, mp.range(200))
        assert(not ok and (mp.MemoryError:is(err) or mp.WorkerLostError:is(err)), tostring(err))
        assert(mp.check())
      end]]
    assert.equal("", output)
  end)
end)
