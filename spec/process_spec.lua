-- Processes: start, join, exit codes, names, daemons, signals, and what their objects say.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local function started(options)
  local p = mp.Process(options)
  p:start()
  return p
end

-- Runs the target in a process to its end, and gives the process.
local function ran(target, ...)
  local p = started {target = target, args = table.pack(...)}
  assert.is_true(p:join(helper.LIMIT))
  return p
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

  it("gives the status of its end", function()
    assert.equal(0, ran(function() end).exitcode)
    assert.equal(0, ran(function() return 7 end).exitcode)
    assert.equal(3, ran(function() os.exit(3) end).exitcode)
    assert.equal(0, ran(function() os.exit(true) end).exitcode)
    assert.equal(1, ran(function() os.exit(false) end).exitcode)
    assert.equal(0, ran(function() os.exit() end).exitcode)
  end)

  it("gives minus the signal that killed it", function()
    local p = started {target = mp.sleep, args = {60}}
    p:kill()
    assert.is_true(p:join(helper.LIMIT))
    assert.equal(-9, p.exitcode)
  end)
end)
