-- What all specs share: one time limit, `eventually`, `run`, and the question that ends every
-- test: is no child left, no descriptor leaked? Busted loads this file before the specs
-- (.busted); a spec says `local helper = require "spec.helper"` to use it.
local leaks = require "spec.support.leaks"
local child = require "spec.support.child"

local helper = {}

-- How many times slower than usual this run is (sanitizers, valgrind).
helper.SLOW = tonumber(os.getenv "MP_SLOW") or 1

-- Seconds that anything in a spec may take: no test waits longer for what should happen.
helper.LIMIT = 10 * helper.SLOW

-- Seconds that a timed result may be late.
helper.TOLERANCE = 0.25 * helper.SLOW

-- The body of a test that may take two seconds and no longer: what is to happen must happen at once.
helper.PROMPT = 2 * helper.SLOW + helper.TOLERANCE

function helper.promptly(body)
  return function()
    local before = child.now()
    body()
    local took = child.now() - before
    if took > helper.PROMPT then error(("it took %.2f seconds"):format(took), 2) end
  end
end

-- Waits until f() gives a true value, and returns it.
function helper.eventually(f, limit)
  local give_up = child.now() + (limit or helper.LIMIT)
  repeat
    local value = f()
    if value then return value end
    child.sleep(0.005)
  until child.now() >= give_up
  return error("it did not come to pass within " .. (limit or helper.LIMIT) .. " seconds", 2)
end

-- Runs a Lua program (its text, or the name of a file that ends in .lua) in a lua5.4 of its own.
-- options: args (a list), limit, grace, pty, env (a table), dir, command (instead of lua5.4).
-- Gives stdout, stderr, status or signal, elapsed, timed_out, left (pids that outlived it).
function helper.run(program, options)
  options = options or {}
  options.limit = options.limit or helper.LIMIT
  options.grace = options.grace or helper.TOLERANCE
  return child.run(program, options)
end

-- The same for a program that has to succeed; returns its standard output.
function helper.output(program, options)
  local result = helper.run(program, options)
  if result.status ~= 0 or #result.left > 0 then
    error("the program failed: " .. child.describe(result), 2)
  end
  return result.stdout
end

helper.now, helper.sleep, helper.describe = child.now, child.sleep, child.describe

-- A fresh file name in the specs' own folder, removed at the test's end.
helper.temporary = child.temporary

local before

-- These two are put around every test by the harness (see the end of this file).
function helper.test_begins()
  before = leaks.look()
end

function helper.test_ends()
  collectgarbage()
  collectgarbage()
  child.remove_temporary()
  local complaint = leaks.compare(before, helper.TOLERANCE)
  if complaint then error(complaint, 0) end
end

-- Busted runs this file once, outside of any spec; a spec's own require finds it loaded.
if package.loaded["spec.helper"] == nil then
  local busted = require "busted"
  package.loaded["spec.helper"] = helper
  busted.before_each(helper.test_begins)
  busted.after_each(helper.test_ends)
end
return package.loaded["spec.helper"]
