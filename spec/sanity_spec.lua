-- The tests that must fail: they prove that the harness of the specs sees what it is there to see.
local helper = require "spec.helper"

-- Runs busted on a spec file that has the given body in one test; gives its printed text.
local function busted_on(body)
  local file = helper.temporary("_spec.lua")
  local handle <close> = assert(io.open(file, "w"))
  handle:write('local helper = require "spec.helper"\nhelper.file = io.open("/dev/null")\n',
    'it("is bad", function()\n', body, "\nend)\n")
  handle:close()
  return helper.run("", {command = "busted --lua=lua5.4 -o spec/support/output.lua " .. file})
end

local function fails_with(body, complaint)
  local result = busted_on(body)
  assert.is_not.equal(0, result.status, result.stdout)
  assert.truthy(result.stdout:find("0 passed, 1 failed", 1, true), result.stdout)
  assert.truthy(result.stdout:find(complaint, 1, true), result.stdout)
end

describe("the harness of the specs", function()
  it("lets a good test pass", function()
    local result = busted_on("assert.is_true(helper.LIMIT > 0)")
    assert.equal(0, result.status)
    assert.truthy(result.stdout:find("1 passed, 0 failed", 1, true), result.stdout)
  end)

  it("sees a false assertion", function()
    fails_with("assert.equal(1, 2)", "Expected objects to be equal")
  end)

  it("sees a leaked descriptor", function()
    fails_with('helper.leak = io.open("/dev/null")', "descriptor")
  end)

  it("sees a descriptor that was closed", function()
    fails_with("helper.file:close()", "was closed")
  end)

  it("sees a child that was left", function()
    fails_with('helper.leak = io.popen("exec sleep 1 >/dev/null")', "child")
  end)

  it("sees a condition that does not come", function()
    fails_with("helper.eventually(function() return false end, 0.05)", "did not come to pass")
  end)
end)

describe("run", function()
  it("gives what a program printed and how it ended", function()
    local result = helper.run('print("out", ...) io.stderr:write("err") os.exit(7)', {args = {"a b", "it's"}})
    assert.equal("out\ta b\tit's\n", result.stdout)
    assert.equal("err", result.stderr)
    assert.equal(7, result.status)
    assert.same({}, result.left)
  end)

  it("stops a program that hangs", function()
    local result = helper.run("while true do end", {limit = 0.2})
    assert.is_true(result.timed_out)
    assert.is_true(result.elapsed < 0.2 + helper.TOLERANCE)
  end)

  it("tells of a signal", function()
    local result = helper.run("", {command = "sh -c 'kill -9 $$'"})
    assert.equal(9, result.signal)
  end)

  it("tells of processes that outlived the program, and ends them", function()
    local result = helper.run([[os.execute "sleep 30 & sleep 30 &"]], {grace = 0.05})
    assert.equal(0, result.status)
    assert.equal(2, #result.left)
    for _, pid in ipairs(result.left) do assert.is_nil(io.open("/proc/" .. pid)) end
  end)

  it("gives the program a terminal when asked", function()
    local result = helper.run('os.execute "test -t 0 && test -t 1 && echo terminal"', {pty = true})
    assert.equal("terminal\n", result.stdout)
  end)
end)
