-- Ctrl-C interrupts every call that waits, at once, with nothing changed; other signals none, and
-- no timeout is stretched by them.
local helper = require "spec.helper"
local needs = require "spec.support.needs"

-- what: {what it takes from the module, what makes the call wait, the call; T stands for its timeout}
local CALLS = {
  ["sleep"] = {"sleep", "", "mp.sleep(T or 1000)"},
  ["Queue:get"] = {"Queue", "local q = mp.Queue()", "return q:get(true, T)"},
  ["Queue:put"] = {"Queue", "local q = mp.Queue(1) q:put(1)", "return q:put(2, true, T)"},
  ["Queue:get_many"] = {"Queue", "local q = mp.Queue()", "return q:get_many(5, true, T)"},
  ["Queue:put_many"] = {"Queue", "local q = mp.Queue(1) q:put(1)", "return q:put_many({2, 3}, true, T)"},
  ["SimpleQueue:get"] = {"SimpleQueue", "local q = mp.SimpleQueue()", "return q:get()", endless = true},
  ["JoinableQueue:join"] = {"JoinableQueue", "local q = mp.JoinableQueue() q:put(1)", "return q:join(T)"},
  ["Connection:recv"] = {"Pipe", "local a, b = mp.Pipe()", "return a:recv(b)", endless = true},
  ["Connection:poll"] = {"Pipe", "local a, b = mp.Pipe()", "return a:poll(T or math.huge, b)"},
  ["Process:join"] = {"Process", "local p = mp.Process{target = mp.sleep, args = {1000}, daemon = true} p:start()",
    "return p:join(T)"},
  ["Lock:acquire"] = {"Lock", "local l = mp.Lock() l:acquire()", "return l:acquire(true, T)"},
  ["Semaphore:acquire"] = {"Semaphore", "local s = mp.Semaphore(0)", "return s:acquire(true, T)"},
  ["BoundedSemaphore:acquire"] = {"BoundedSemaphore", "local s = mp.BoundedSemaphore(1) s:acquire()",
    "return s:acquire(true, T)"},
  ["Event:wait"] = {"Event", "local e = mp.Event()", "return e:wait(T)"},
  ["Condition:wait"] = {"Condition", "local c = mp.Condition() c:acquire()", "return c:wait(T)"},
  ["Condition:wait_for"] = {"Condition", "local c = mp.Condition() c:acquire()",
    "return c:wait_for(function() return false end, T)"},
  ["Barrier:wait"] = {"Barrier", "local b = mp.Barrier(2)", "return b:wait(T)"},
  ["AsyncResult:get"] = {"Pool", "local pool = mp.Pool(1) local r = pool:apply_async(mp.sleep, {1000})",
    "return r:get(T)"},
  ["AsyncResult:wait"] = {"Pool", "local pool = mp.Pool(1) local r = pool:apply_async(mp.sleep, {1000})",
    "return r:wait(T)"},
  ["connection.wait"] = {"connection.wait", "local a, b = mp.Pipe()", "return mp.connection.wait({a}, T, b)"},
}

local PROGRAM = [[
local mp = require "multiprocessing"
local T = %s
%s
local function call() %s end
local function signals(list)
  os.execute(("(%%s) &"):format(list:gsub("PID", tostring(mp.getpid()))))
end
%s
os.exit(0, false)
]]

-- 0.22 s is in the middle of a nap (they end at 0.02, 0.06, 0.14, 0.30 … s). A signal that comes between
-- the last look and the sleep is seen when that nap ends, which no tolerance of a test should allow for.
local CAUGHT = [[
signals "sleep 0.22; kill -INT PID"
local start = mp.monotonic()
local ok, err = pcall(call)
print(ok, tostring(err):find("interrupted!", 1, true) and "interrupted!" or err, mp.monotonic() - start < 0.22 + %g)]]

local TIMED = [[
signals "for i in 1 2 3 4 5 6; do sleep 0.05; kill -CONT PID; done"
local start = mp.monotonic()
pcall(call)
local passed = mp.monotonic() - start
print(passed >= 0.5 and passed < 0.5 + %g or passed)]]

local function run(call, timeout, body)
  local program = PROGRAM:format(timeout, call[2], call[3], body:format(helper.TOLERANCE))
  return helper.run(program, {grace = helper.LIMIT})
end

local names = {}
for name in pairs(CALLS) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  local call = CALLS[name]
  describe(name, function()
    local function check(expected, timeout, body)
      local lacking = needs.missing {call[1]}
      if lacking then return pending("the module has no " .. lacking .. " yet") end
      local result = run(call, timeout, body)
      assert.equal(expected, result.stdout, helper.describe(result))
    end

    it("is interrupted by Ctrl-C", function() check("false\tinterrupted!\ttrue\n", "nil", CAUGHT) end)
    if not call.endless then
      it("ends in time whatever else comes", function() check("true\n", "0.5", TIMED) end)
    end
  end)
end
