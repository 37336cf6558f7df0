-- Progress: what the option `progress` of maps means. A function is called with (done, total); true or
-- a label draws one line on standard error: on a terminal it is redrawn in place, at most ten times
-- a second; elsewhere only the last line is written.
local core = require "multiprocessing.core"

local progress = {}

local EVERY = 0.1 -- seconds between two lines on a terminal
local STDERR = 2

local function span(seconds)
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  if seconds < 3600 then return ("%d:%02d"):format(seconds // 60, seconds // 1 % 60) end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds // 1 % 60)
end

-- "label: 30/100 30% 12.5/s 5.6 s left"; the total may be unknown.
local function line_of(label, done, total, elapsed)
  local rate = elapsed > 0 and done / elapsed or 0
  local words = {label and label .. ":" or nil}
  local function add(...) words[#words + 1] = string.format(...) end
  if total then add("%d/%d %d%%", done, total, total > 0 and done * 100 // total or 100) else add("%d", done) end
  add(rate >= 100 and "%.0f/s" or "%.1f/s", rate)
  if total and done < total then
    add("%s left", rate > 0 and span((total - done) / rate) or "?")
  else
    add("in %s", span(elapsed))
  end
  return table.concat(words, " ")
end

local function drawer(label)
  local terminal = core.is_terminal(STDERR)
  local began, drawn, width = core.monotonic(), -math.huge, 0
  return function(done, total, ended)
    local now = core.monotonic()
    ended = ended or done == total
    if not ended and (not terminal or now - drawn < EVERY) then return end
    drawn = now
    local line = line_of(label, done, total, now - began)
    local blank = (" "):rep(width - #line)
    width = #line
    io.stderr:write(terminal and "\r" .. line .. blank or line, ended and "\n" or "")
    io.stderr:flush()
  end
end

-- The function to call, or nil for an option that says no.
function progress.watcher(option)
  if not option then return nil end
  if option == true then return drawer() end
  if type(option) == "string" then return drawer(option) end
  if type(option) == "function" then return option end
  core.raise("TypeError", "progress must be true, a label or a function, got " .. core.show(option))
end

return progress
