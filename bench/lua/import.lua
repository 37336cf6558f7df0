-- A whole process that only requires the module: mean milliseconds of 20.
local stopwatch = require "stopwatch"

stopwatch.measure("import", "_VERSION", function()
  local line = ([['%s' import 20 '%s' -e 'require "multiprocessing"']]):format(
    package.searchpath("least", package.cpath):gsub("least%.so$", "whole"), arg[-1])
  assert(os.execute(line), "the program failed")
end)
