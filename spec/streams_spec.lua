-- Programs whose standard streams are closed, as daemons' often are.
local helper = require "spec.helper"

-- Runs the program with the streams closed that the shell's words close; what it passes to say()
-- comes back.
local function run_closed(words, program)
  local answer, script = helper.temporary("answer"), helper.temporary("script.lua")
  local file = assert(io.open(script, "w"))
  file:write(([[
local mp = require "multiprocessing"
local function say(text)
  local out = assert(io.open(%q, "a"))
  out:write(text, "\n")
  out:close()
end
]]):format(answer), program)
  file:close()
  helper.output(([[os.exit(os.execute("exec lua5.4 '%s' %s"))]]):format(script, words))
  file = assert(io.open(answer))
  local text = file:read("a")
  file:close()
  return text
end

local EVERYTHING = [[
local pool, queue, event = mp.Pool(2), mp.Queue(), mp.Event()
queue:fileno()
event:fileno()
local child = mp.Process{target = function(q) q:put("a child") end, args = {queue}}
child:start()
local sentinel = child.sentinel
say(queue:get())
child:join()
say(table.concat(pool:map(math.abs, {-1, -2}), " "))
local list = io.popen(("for fd in 0 1 2; do readlink /proc/%d/fd/$fd; done"):format(mp.getpid()))
for line in list:lines() do
  if line:find("anon_inode", 1, true) or line:find("socket", 1, true) or line:find("memfd", 1, true) then say(line) end
end
list:close()
]]

describe("a program without standard streams", function()
  for name, words in pairs {["input"] = "<&-", ["output"] = ">&-", ["any"] = "<&- >&- 2>&-"} do
    it("works, and has none of our descriptors in their place, without " .. name, function()
      assert.equal("a child\n1 2\n", run_closed(words, EVERYTHING))
    end)
  end

  it("has a supervisor that sleeps", function()
    local text = run_closed("<&-", [[
local pool = mp.Pool(1)
local supervisor = pool:apply(mp.getppid)
local function ticks()
  local file = assert(io.open(("/proc/%d/stat"):format(supervisor)))
  local user, system = file:read("a"):match("%) %S+ .*"):match("^%) %S" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
  file:close()
  return user + system
end
local before = ticks()
mp.sleep(0.5)
say(ticks() - before < 10 and "asleep" or "busy")
]])
    assert.equal("asleep\n", text)
  end)
end)
