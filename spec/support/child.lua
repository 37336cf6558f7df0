-- Runs a program as a person would: a real process, in a time limit, its output in files.
-- The work is done by spec/support/run.c, which `make` builds as build/run.
local clock = require "spec.support.clock"

local child = {now = clock.now, sleep = clock.sleep}

local temporary = {}

function child.temporary(suffix)
  local name = os.tmpname()
  temporary[#temporary + 1] = name
  if not suffix then return name end
  temporary[#temporary + 1] = name .. suffix
  return name .. suffix
end

function child.remove_temporary()
  for _, name in ipairs(temporary) do os.remove(name) end
  temporary = {}
end

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function read(name)
  local file <close> = assert(io.open(name, "rb"))
  return file:read("a")
end

local function write(name, text)
  local file <close> = assert(io.open(name, "wb"))
  assert(file:write(text))
end

-- The file that holds the program: the name itself, or a new file with the text.
local function file_of(program)
  if program:find("^[%w%._/-]+%.lua$") then return program end
  local name = child.temporary(".lua")
  write(name, program)
  return name
end

local function environment(variables)
  local words = {"env"}
  for name, value in pairs(variables or {}) do
    words[#words + 1] = name .. "=" .. quote(value)
  end
  return table.concat(words, " ")
end

local function command_line(program, options, files)
  local words = {environment(options.env), "build/run", options.pty and "-p" or ""}
  if options.dir then words[#words + 1] = "-w " .. quote(options.dir) end
  for _, word in ipairs {options.limit, options.grace, table.unpack(files)} do
    words[#words + 1] = quote(word)
  end
  if options.command then
    words[#words + 1] = options.command
  else
    words[#words + 1] = os.getenv("LUA") or "lua5.4"
    words[#words + 1] = quote(file_of(program))
  end
  for _, word in ipairs(options.args or {}) do words[#words + 1] = quote(word) end
  return table.concat(words, " ")
end

function child.run(program, options)
  local files = {child.temporary(), child.temporary(), child.temporary()}
  local line = command_line(program, options, files)
  local ok, how, status = os.execute(line)
  if not ok then error(("%s: %s %s"):format(line, how, status)) end
  local result = assert(load(read(files[3])))()
  result.stdout = read(files[1]):gsub("\r\n", options.pty and "\n" or "\r\n")
  result.stderr = read(files[2])
  return result
end

-- A run's result in words, for messages.
function child.describe(result)
  local how = result.timed_out and "it was stopped after " .. result.elapsed .. " s"
    or result.signal and "killed by signal " .. result.signal or "status " .. result.status
  if #result.left > 0 then how = how .. ", left processes " .. table.concat(result.left, " ") end
  return ("%s\nstdout: %s\nstderr: %s"):format(how, result.stdout, result.stderr)
end

return child
