-- tools/check.sh, which runs all tests and says the last line, sees each way in which one fails.
local helper = require "spec.helper"

describe("the runner of all tests", function()
  local dir

  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
  end)
  after_each(function() os.execute("rm -r " .. dir) end)

  local function program(name, body)
    local path = dir .. "/" .. name
    local file <close> = assert(io.open(path, "w"))
    file:write("#!/bin/sh\n", body, "\n")
    file:close()
    os.execute("chmod +x " .. path)
    return path
  end

  -- Runs these programs; gives the last line and the rest.
  local function check(status, ...)
    local result = helper.run("", {
      command = "sh tools/check.sh",
      args = {...},
      env = {BUILD = dir .. "/build", CHECK_LIMIT = 1, MP_SLOW = 1},
    })
    assert.equal(status, result.status, helper.describe(result))
    return result.stdout:match("([^\n]*)\n$"), result.stdout
  end

  it("adds up what passed", function()
    local two, three = program("two", "echo 2 passed, 0 failed"), program("three", "echo 3 passed, 0 failed")
    assert.equal("5 passed, 0 failed", (check(0, two, three)))
  end)

  it("counts a program that knows no cases as one", function()
    assert.equal("1 passed, 1 failed", (check(1, program("good", "exit 0"), program("bad", "exit 3"))))
  end)

  it("shows what a failed one printed", function()
    local last, all = check(1, program("bad", "echo the reason; echo 1 passed, 2 failed; exit 1"))
    assert.equal("1 passed, 2 failed", last)
    assert.truthy(all:find("the reason", 1, true))
  end)

  it("does not believe one that crashes after its last line", function()
    assert.equal("2 passed, 1 failed", (check(1, program("late", "echo 2 passed, 0 failed; kill -11 $$"))))
  end)

  it("stops one that hangs", function()
    local last, all = check(1, program("hang", "exec sleep 60"))
    assert.equal("0 passed, 1 failed", last)
    assert.truthy(all:find("it hung", 1, true))
  end)

  it("sees processes that outlive a program", function()
    local last, all = check(1, program("stray", "setsid sleep 60 & echo 4 passed, 0 failed"))
    assert.equal("4 passed, 1 failed", last)
    assert.truthy(all:find("left processes running", 1, true))
  end)

  it("fails where there is nothing to run", function()
    assert.equal("0 passed, 1 failed", (check(1)))
  end)
end)
