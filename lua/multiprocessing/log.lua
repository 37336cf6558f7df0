-- The logger of this module: lines "[WARNING/MainProcess] text" on standard error. Warnings and
-- errors are shown from the start; log_to_stderr shows as much as is asked for.
local core = require "multiprocessing.core"

local LEVELS = {debug = 10, info = 20, warning = 30, error = 40, critical = 50}
local NAMES = {[10] = "DEBUG", [20] = "INFO", [30] = "WARNING", [40] = "ERROR", [50] = "CRITICAL"}

local function level_of(level)
  local number = type(level) == "string" and LEVELS[level:lower()] or math.tointeger(level)
  if not number then
    core.raise("ValueError", ("a level is \"debug\", \"info\", \"warning\", \"error\" or a number, got %s")
      :format(core.show(level)))
  end
  return number
end

local logger = {}
logger.__index, logger.__name = logger, "Logger"
function logger.__tostring(self) return ("<Logger multiprocessing (%s)>"):format(self:level_name()) end

-- Called with a dot, a method has something else than the logger in its first place.
local function check(self, method)
  if getmetatable(self) == logger then return end
  core.raise("TypeError", ("bad argument #1 to '%s' (Logger expected, got %s)"):format(method, core.show(self)))
end

local the_logger = setmetatable({threshold = LEVELS.warning}, logger)

function logger:level_name()
  return NAMES[self.threshold] or tostring(self.threshold)
end

-- The level from which on lines are shown: its name, or Python's number.
function logger:set_level(level)
  check(self, "set_level")
  self.threshold = level_of(level)
end

function logger:get_level()
  check(self, "get_level")
  return self.threshold
end

-- The text of a line: of any value, or made by string.format if there are more.
local function text_of(text, ...)
  if select("#", ...) == 0 then return tostring(text) end
  local ok, made = pcall(string.format, text, ...)
  if not ok then core.raise("ValueError", made) end
  return made
end

-- Writes a line. One write: lines stay whole.
local function write(self, level, ...)
  local number = level_of(level)
  if number < self.threshold then return end
  local name, text = require("multiprocessing.process").current_process().name, text_of(...)
  io.stderr:write(("[%s/%s] %s\n"):format(NAMES[number] or number, name, text))
end

function logger:log(level, ...)
  check(self, "log")
  write(self, level, ...)
end

for name in pairs(LEVELS) do
  logger[name] = function(self, ...)
    check(self, name)
    write(self, name, ...)
  end
end

local log = {}

function log.get_logger() return the_logger end

-- Shows all lines from this level on (all, if it is not given); gives the logger.
function log.log_to_stderr(level)
  the_logger.threshold = level == nil and 0 or level_of(level)
  return the_logger
end

function log.warning(text) the_logger:warning(text) end

return log
