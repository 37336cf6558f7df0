-- Every port of a tutorial's program runs as a real program under a terminal. Expected are the set
-- of its lines, the order where the program fixes one, status 0, and no process left behind
-- (spec/support/tutorial_ports.lua). What the scheduler decides is no part of an expectation.
local helper = require "spec.helper"
local look = require "spec.support.look"
local needs = require "spec.support.needs"
local PORTS = require "spec.support.tutorial_ports"

local TIME = "%a%a%a %a%a%a [ %d]%d %d%d:%d%d:%d%d %d%d%d%d"

local function normalised(port, lines)
  local result = {}
  for i, line in ipairs(lines) do
    line = line:gsub(TIME, "TIME")
    for _, pair in ipairs(port.normal or {}) do line = line:gsub(pair[1], pair[2]) end
    result[i] = line
  end
  return result
end

local function without_optional(port, lines)
  local allowed, result = {}, {}
  for _, line in ipairs(port.may or {}) do allowed[line] = true end
  for _, line in ipairs(lines) do
    if allowed[line] then
      allowed[line] = nil
    else
      result[#result + 1] = line
    end
  end
  return result
end

local function judge(port, lines, run)
  local expected = table.move(port.lines, 1, #port.lines, 1, {})
  local got = without_optional(port, normalised(port, lines))
  if not port.exact then
    table.sort(expected)
    table.sort(got)
  end
  assert.same(expected, got)
  if port.order then port.order(lines, run) end
end

-- The expectation must be able to fail: it does when any line that is not optional is missing.
local function judge_the_judge(port, lines, run)
  local needed = 0
  for i = 1, #lines do
    local fewer = table.move(lines, 1, #lines, 1, {})
    table.remove(fewer, i)
    if not pcall(judge, port, fewer, run) then needed = needed + 1 end
  end
  assert(needed >= #port.lines, "a line could be missing without notice")
end

local function run_port(port, program)
  local file
  if port.file then
    file = helper.temporary()
    local handle <close> = assert(io.open(file, "w"))
    handle:write(port.file)
  end
  local second = (port.second or 1) * helper.SLOW
  local run = helper.run(program, {
    pty = not port.no_terminal, args = {file}, env = {SECOND = tostring(second)},
  })
  run.second = second
  assert(run.status == 0 and #run.left == 0, helper.describe(run))
  assert.equal("", run.stderr)
  local lines = look.lines_of(run.stdout)
  local ok, message = pcall(judge, port, lines, run)
  if not ok then error(tostring(message) .. "\n" .. helper.describe(run), 0) end
  judge_the_judge(port, lines, run)
  if file then
    local handle <close> = assert(io.open(file))
    port.after(handle:read("a"))
  end
end

local function check(name, port, program)
  it(name, function()
    local lacking = needs.missing(port.needs)
    if lacking then return pending("the module has no " .. lacking .. " yet") end
    run_port(port, program or "examples/tutorial/" .. name .. ".lua")
  end)
end

describe("tutorial", function()
  local names = {}
  for name in pairs(PORTS) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do check(name, PORTS[name]) end

  it("programs all have an expectation, and say what they show, how to run them, what they print", function()
    local ls <close> = assert(io.popen("ls examples/tutorial"))
    for file in ls:lines() do
      local name = file:match("^(.+)%.lua$")
      assert(PORTS[name], file .. " has no expectation")
      local program <close> = assert(io.open("examples/tutorial/" .. file))
      local text = program:read("a")
      local id = name:sub(1, 6):gsub("%-", "%%-")
      assert(text:find("^%-%- Tutorial " .. id .. ": [^\n]+\n%-%- Run:    lua5.4 examples/tutorial/" .. id
        .. "[^\n]+\n%-%- Prints: "), file .. " does not begin as it should")
    end
  end)

  it("004-20 with its ThreadPoolExecutor lines", function()
    local port = setmetatable({needs = {"futures.ThreadPoolExecutor"}},
      {__index = PORTS["004-20_executor"]})
    local lacking = needs.missing(port.needs)
    if lacking then return pending("the module has no " .. lacking .. " yet") end
    port.order = function(lines) look.is_last(lines, "主") end
    local source <close> = assert(io.open("examples/tutorial/004-20_executor.lua"))
    local text = source:read("a"):gsub("\n(local [^\n]*ProcessPoolExecutor[^\n]*)", "\n-- %1")
    local threads, count = text:gsub("\n%-%- (local [^\n]*ThreadPoolExecutor)", "\n%1")
    assert.equal(2, count)
    run_port(port, threads)
  end)
end)
