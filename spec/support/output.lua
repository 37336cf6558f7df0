-- How busted shows a spec file's run: each failure in full, then "N passed, N failed". A test
-- is announced before it runs, so that the log of one that hangs or crashes says which it was.
return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local running, tests = nil, 0
  local failed = {} -- a test (or a file, or a block) that failed -> true

  -- What goes wrong after a test, as it leaks something, counts against that test.
  local function complain(element, _, message, trace)
    if element.descriptor == "after_each" and running then element = running end
    failed[element] = true
    io.write("FAILED ", element.descriptor, " ", handler.getFullName(element), "\n")
    io.write("  ", (tostring(message):gsub("\n", "\n  ")), "\n")
    if options.verbose and type(trace) == "table" then io.write(trace.traceback or "", "\n") end
    io.flush()
    return nil, true
  end

  busted.subscribe({"test", "start"}, function(element)
    running = element
    io.write("test ", handler.getFullName(element), "\n")
    io.flush()
    return nil, true
  end)
  busted.subscribe({"test", "end"}, function(element, _, status)
    if status == "pending" then io.write("PENDING ", handler.getFullName(element), "\n")
    else tests = tests + 1 end
    return nil, true
  end)
  busted.subscribe({"failure"}, complain)
  busted.subscribe({"error"}, complain)

  busted.subscribe({"suite", "end"}, function()
    local failures, failed_tests = 0, 0
    for element in pairs(failed) do
      failures = failures + 1
      if element.descriptor == "it" then failed_tests = failed_tests + 1 end
    end
    io.write(("%d passed, %d failed\n"):format(tests - failed_tests, failures))
    io.flush()
    return nil, true
  end)
  return handler
end
