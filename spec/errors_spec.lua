-- Error objects: how C and Lua make them, what they answer, how they travel.
local helper = require "spec.helper"
local core = require "spec.support.binding"
local mp = require "multiprocessing"

local KINDS = {"Error", "Empty", "Full", "ShutDown", "TimeoutError", "EOFError", "BrokenPipeError", "OSError",
  "ValueError", "TypeError", "ProcessError", "BufferTooShort", "AuthenticationError", "BrokenBarrierError",
  "WorkerLostError", "CancelledError", "RemoteError", "MemoryError", "SerializationError"}

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

describe("kinds of errors", function()
  it("are fields of the module", function()
    for _, name in ipairs(KINDS) do
      assert.equal(name, mp[name].kind)
      assert.equal("multiprocessing." .. name, tostring(mp[name]))
    end
  end)

  it("answer is() for a value of any type", function()
    local err = mp.Empty "nothing"
    assert.is_true(mp.Empty:is(err))
    assert.is_true(mp.Error:is(err))
    assert.is_false(mp.Full:is(err))
    for _, value in ipairs {0, "Empty", true, print, {}, {kind = "Empty"}, setmetatable({}, {}),
      setmetatable({}, {kind = "Empty"}), io.stdout, coroutine.create(print), mp.Empty} do
      assert.is_false(mp.Empty:is(value))
      assert.is_false(mp.Error:is(value))
    end
    assert.is_false(mp.Empty:is(nil))
    assert.is_false(mp.Empty:is())
  end)

  it("belong to one another as in Python", function()
    for _, name in ipairs {"EOFError", "BrokenPipeError"} do
      assert.is_true(mp.OSError:is(mp[name] "x"))
      assert.is_false(mp[name]:is(mp.OSError "x"))
    end
    local errors = require "multiprocessing.errors"
    assert.is_true(mp.WorkerLostError:is(errors.BrokenProcessPool "x"))
    assert.is_false(mp.OSError:is(mp.TimeoutError "x"))
    for _, name in ipairs(KINDS) do assert.is_true(mp.Error:is(mp[name] "x")) end
  end)

  it("make errors of a message, or of fields", function()
    local err = mp.OSError {message = "gone", errno = 5}
    assert.equal("OSError", err.kind)
    assert.equal("gone", err.message)
    assert.equal(5, err.errno)
    assert.is_nil(err.traceback)
    assert.equal("OSError: gone", tostring(err))
    assert.equal("OSError: gone, alas", err .. ", alas")
    assert.equal("alas, OSError: gone", "alas, " .. err)
  end)

  it("show a traceback from elsewhere below the text", function()
    local err = mp.RemoteError {message = "boom", value = "boom", traceback = "stack traceback: far away"}
    assert.equal("RemoteError: boom\n\nstack traceback: far away", tostring(err))
    assert.truthy((err .. ""):find("far away", 1, true))
  end)
end)

describe("an error raised by the module", function()
  local function line_of(err)
    return tonumber(err.where:match("^.*errors_spec%.lua:(%d+):$"))
  end

  it("says where: the line of the caller", function()
    local here = debug.getinfo(1, "l").currentline
    local err = failure(function()
      mp.sleep("x")
    end)
    assert.equal(here + 2, line_of(err))
    assert.equal(err.where .. " TypeError: bad argument #1 to 'sleep' (number expected, got string)", tostring(err))
  end)

  it("says the same through functions in Lua", function()
    local here = debug.getinfo(1, "l").currentline
    local err = failure(function()
      mp.range("x")
    end)
    assert.equal(here + 2, line_of(err))
  end)

  it("says the line of pcall where that called it", function()
    local err = failure(mp.sleep, "x")
    assert.truthy(line_of(err))
    assert.equal("bad argument #1 to 'sleep' (number expected, got string)", err.message)
  end)

  it("has the errno of a failed system call, as number and name", function()
    local err = failure(core.result, -2, "open")
    assert.is_true(mp.OSError:is(err))
    assert.equal(2, err.errno)
    assert.equal("ENOENT", err.code)
    assert.equal("open: No such file or directory (ENOENT)", err.message)
    assert.is_true(mp.BrokenPipeError:is(failure(core.result, -32, "send")))
    assert.equal(32, failure(core.result, -32, "send").errno)
    assert.truthy(failure(core.result, -4242, "x").message:find("unknown", 1, true))
  end)

  it("is a MemoryError where memory is lacking", function()
    local err = failure(core.result, -12, "Queue")
    assert.is_true(mp.MemoryError:is(err))
    assert.is_false(mp.OSError:is(err))
    assert.truthy(err.message:find("^Queue: no memory is left"))
  end)

  it("is the general one of its condition, or the object's own", function()
    local general = {"TimeoutError", "Empty", "Full", "ShutDown", "ProcessError", "ProcessError",
      "BrokenBarrierError", "ProcessError", "ValueError", "ValueError", "ProcessError", "ProcessError"}
    assert.has_no_error(function() core.result(0, "x") end)
    for code, kind in ipairs(general) do
      local err = failure(core.result, code, "get")
      assert.equal(kind, err.kind)
      assert.truthy(err.message:find("^get: "))
    end
    assert.equal("EOFError", failure(core.own_result, 4).kind)
    assert.equal("the other end is gone", failure(core.own_result, 4).message)
    assert.equal("Empty", failure(core.own_result, 2).kind)
  end)

  it("ends a program with its text, position and kind", function()
    local run = helper.run [[
      local mp = require "multiprocessing"
      mp.sleep(0 / 0)]]
    assert.equal(1, run.status)
    assert.truthy(run.stderr:find("lua:2: ValueError: seconds must not be nan", 1, true), run.stderr)
  end)
end)

describe("a field that cannot be written", function()
  it("is a TypeError that names it and the type", function()
    local executor <close> = mp.futures.ProcessPoolExecutor(1)
    local pool <close> = mp.Pool(1)
    local pipe = mp.Pipe()
    local closed = mp.Queue()
    closed:close()
    for _, object in ipairs {mp.Barrier(1), pipe, mp.Lock(), mp.RLock(), mp.Semaphore(), mp.BoundedSemaphore(),
      mp.Event(), mp.Condition(), mp.Queue(), closed, mp.JoinableQueue(), mp.SimpleQueue(), pool,
      pool:apply_async(math.abs, {1}), pool:imap(math.abs, {1}), executor:submit(math.abs, 1)} do
      for shown, key in pairs {['"foo"'] = "foo", ["1"] = 1} do
        local err = failure(function() object[key] = 1 end)
        local name = getmetatable(object).__name
        assert.equal("TypeError", err.kind)
        assert.equal(name .. " has no field " .. shown .. " to write to", err.message)
        assert.matches("errors_spec.lua:%d+:", err.where)
      end
    end
    assert.equal('Connection has no field "closed" to write to', failure(function() pipe.closed = true end).message)
  end)
end)

describe("an error that travels", function()
  it("arrives as itself", function()
    local err = failure(core.result, -2, "open")
    local copy = core.through(err)
    assert.is_true(mp.OSError:is(copy))
    assert.are_not.equal(err, copy)
    assert.equal(tostring(err), tostring(copy))
    assert.equal(2, copy.errno)
    assert.is_true(mp.WorkerLostError:is(mp.decode(mp.encode(mp.WorkerLostError {message = "x", pid = 3}))))
  end)

  it("arrives where no error was made before", function()
    local output = helper.output [[
      local mp = require "multiprocessing"
      local bytes = io.popen("lua5.4 -e 'local mp = require \"multiprocessing\" "
        .. "io.write(mp.encode(mp.Full(\"up to here\")))'")
      local err = mp.decode(bytes:read("a"))
      print(err, mp.Full:is(err))]]
    assert.equal("Full: up to here\ttrue\n", output)
  end)

  it("is refused where it is none", function()
    local bytes = mp.encode(mp.Full "x"):gsub("Full", "Fool")
    local err = failure(mp.decode, bytes)
    assert.equal("SerializationError", err.kind)
  end)
end)

describe("with no descriptor left", function()
  local FILL = [[
    local mp = require "multiprocessing"
    local queue, pool, ours = mp.Queue(), nil, {}
    local function fill()
      repeat ours[#ours + 1] = io.open("/dev/null") or false until not ours[#ours]
    end
    local function show(f, ...)
      local ok, err = pcall(f, ...)
      print(ok, mp.Error:is(err) and (err.code or err.kind) or err)
    end
  ]]

  it("the first error is what it would be", function()
    assert.equal("false\tEMFILE\nfalse\tEmpty\ntrue\tnil\n", helper.output(FILL .. [[
      fill()
      show(queue.fileno, queue)
      show(queue.get, queue, false)
      show(queue.put, queue, 1)]]))
  end)

  it("a process shows how it ended", function()
    assert.equal("SIGKILL\n", helper.output(FILL .. [[
      local process = mp.Process {target = mp.sleep, args = {60}}
      process:start()
      process:kill()
      process:join()
      fill()
      print(tostring(process):match "SIG%w+")]]))
  end)

  it("a pool's first failure is what it would be", function()
    assert.equal("false\tRemoteError\nfalse\tWorkerLostError\n", helper.output(FILL .. [[
      pool = mp.Pool(1)
      fill()
      show(pool.apply, pool, error, {"no luck"})
      show(pool.apply, pool, os.exit, {3})]]))
  end)
end)

describe("with little address space", function()
  local it = helper.SLOW == 1 and it or pending -- sanitizers need more
  it("the first shared object is a MemoryError that says so", function()
    local output = helper.output [[
      os.exit(os.execute("ulimit -v 100000; exec lua5.4 -e 'local mp = require \"multiprocessing\" "
        .. "local ok, err = pcall(mp.Queue) print(err.kind, err.message)'"))]]
    assert.equal("MemoryError\topening shared memory: Cannot allocate memory (ulimit -v limits the address space)\n",
      output)
  end)
end)
