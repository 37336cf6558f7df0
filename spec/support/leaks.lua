-- What this process holds that a test may have left behind: children and open descriptors.
-- It looks from outside, through /proc and a shell, and trusts nothing that is under test.
local clock = require "spec.support.clock"

local leaks = {}

local LOOK = [[
echo "shell $$"
readlink /proc/$$/fd/1
for f in /proc/$PPID/fd/*; do echo "fd ${f##*/} $(readlink $f)"; done
for f in /proc/$PPID/task/*/children; do for p in $(cat $f); do
  echo "child $p $(sed -n 's/^State:\t//p' /proc/$p/status 2>/dev/null)"
done; done
]]

-- The module's own arena stays open once it was made: that is its place, and no leak.
local function is_ours(target)
  return target:find("^/memfd:multiprocessing") ~= nil
end

function leaks.look()
  local found = {children = {}, descriptors = {}}
  local pipe <close> = assert(io.popen(LOOK))
  local shell, through -- the shell that looks, and the pipe that it answers through
  for line in pipe:lines() do
    shell = shell or line:match("^shell (%d+)")
    through = through or line:match("^pipe:.*")
    local fd, target = line:match("^fd (%d+) (.+)") -- one just closed has no target
    local pid, state = line:match("^child (%d+) (.*)")
    if pid and pid ~= shell then found.children[pid] = state end
    if fd and target ~= through and not is_ours(target) then found.descriptors[fd] = target end
  end
  return found
end

local function added(before, after, what)
  local list = {}
  for key, value in pairs(after) do
    if before[key] ~= value then list[#list + 1] = ("%s %s (%s)"):format(what, key, value) end
  end
  table.sort(list)
  return list
end

local function missing(before, after)
  local list = {}
  for key, value in pairs(before) do
    if after[key] == nil then list[#list + 1] = ("descriptor %s (%s) was closed"):format(key, value) end
  end
  return list
end

-- nil, or a sentence that says what is left after `patience` seconds.
function leaks.compare(before, patience)
  local give_up = clock.now() + patience
  local left
  repeat
    local after = leaks.look()
    left = added(before.children, after.children, "child")
    table.move(added(before.descriptors, after.descriptors, "descriptor"), 1, 100, #left + 1, left)
    table.move(missing(before.descriptors, after.descriptors), 1, 100, #left + 1, left)
    if #left == 0 then return nil end
    clock.sleep(0.01)
  until clock.now() >= give_up
  return "the test left behind: " .. table.concat(left, ", ")
end

return leaks
