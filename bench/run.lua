--- Our figures beside Python's and beside the floors: lua5.4 bench/run.lua [options] [case ...]
--
--   --quick      one round with a tenth of the work: do the programs run?
--   --ours       our programs only
--   --rounds N   instead of five
--   --list       the names of the cases
--
-- In each round the sides of a case run one after the other, so that what disturbs the machine
-- disturbs all of them. A program that fails makes the run fail; a target that is missed does not.

local here = arg[0]:match("^(.*/)run%.lua$") or "./"
package.path = here .. "?.lua;" .. package.path
local cases = require "cases"
local report = require "report"

local LIMIT_SECONDS <const> = 120

local function shell_line(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("l")
end

local root = shell_line(("cd '%s..' && pwd"):format(here))
local build = os.getenv("BUILD") or "build"
local words = {
  LUA = arg[-1],
  PYTHON = os.getenv("PYTHON") or "/usr/bin/python3",
  BENCH = root .. "/build/bench",
}

local function read_options(list)
  local options = {rounds = 5, wanted = {}}
  local i = 1
  while list[i] do
    local word = list[i]
    if word == "--quick" then
      options.rounds, options.scale = 1, "0.1"
    elseif word == "--ours" then
      options.ours = true
    elseif word == "--list" then
      options.list = true
    elseif word == "--rounds" then
      i = i + 1
      options.rounds = assert(math.tointeger(tonumber(list[i])), "--rounds needs a number")
    else
      options.wanted[#options.wanted + 1] = word
    end
    i = i + 1
  end
  return options
end

--- The line of the shell that runs one side's program, its errors into a file.
local function shell_command(command, scale, errors)
  local paths = ("LUA_PATH='ROOT/lua/?.lua;ROOT/lua/?/init.lua;ROOT/bench/lua/?.lua;;'"
    .. " LUA_CPATH='ROOT/BUILD/?.so;ROOT/build/bench/?.so;;'"):gsub("%u+/", {
      ["ROOT/"] = root .. "/", ["BUILD/"] = build .. "/"})
  return ("cd '%s' && %s BENCH_SCALE=%s timeout -k 5 %d %s 2>'%s'"):format(root, paths,
    scale or "1", LIMIT_SECONDS, command:gsub("%$(%u+)", words), errors)
end

local function first_line_of_errors(path)
  local file <close> = assert(io.open(path))
  return file:read("l") or "no message"
end

--- Runs a side once. Returns its figures and what is absent, or nil and why it failed.
local function run_side(side, scale)
  local errors = os.tmpname()
  local figures, absent = {}, {}
  local pipe = assert(io.popen(shell_command(side.command, scale, errors)))
  for text in pipe:lines() do
    local metric, value = text:match("^(%S+) (%S+)")
    if value == "absent" then
      absent[metric] = text:match("absent (.*)$")
    elseif metric then
      figures[metric] = tonumber(value)
    end
  end
  local ended, how, status = pipe:close()
  local message = first_line_of_errors(errors)
  os.remove(errors)
  if ended then return figures, absent end
  if status == 124 then message = ("no end after %d s"):format(LIMIT_SECONDS) end
  return nil, ("%s (%s %d)"):format(message, how, status)
end

local function empty_figures(case)
  local all = {}
  for _, side in ipairs(case.sides) do
    all[side.name] = {}
    for _, metric in ipairs(case.metrics) do all[side.name][metric.name] = {} end
  end
  return all
end

--- A side that failed has no figures at all: rounds of different sides would no longer match.
local function drop_side(lists, reason)
  for _, list in pairs(lists) do
    for i = #list, 1, -1 do list[i] = nil end
    list.reason = reason
  end
end

--- One run of one side is added to its lists. Our program must account for each metric.
local function add_run(case, side, lists, scale)
  local figures, absent = run_side(side, scale)
  if not figures then
    drop_side(lists, "failed")
    return side.command .. ": " .. absent
  end
  for _, metric in ipairs(case.metrics) do
    local name, list = metric.name, lists[metric.name]
    if figures[name] then
      list[#list + 1] = figures[name]
    elseif absent[name] then
      list.reason = "absent"
    elseif side.name == "ours" then
      list.reason = "failed"
      return side.command .. ": printed no " .. name
    end
  end
end

local function sides_to_run(case, options)
  if options.ours then return {case.sides[1]} end
  return case.sides
end

local function run_case(case, options, failures)
  local all, failed = empty_figures(case), {}
  for _ = 1, options.rounds do
    for _, side in ipairs(sides_to_run(case, options)) do
      if not failed[side.name] then
        local problem = add_run(case, side, all[side.name], options.scale)
        failed[side.name] = problem
        failures[#failures + 1] = problem
      end
    end
  end
  return all
end

local function is_wanted(case, wanted)
  if #wanted == 0 then return true end
  for _, name in ipairs(wanted) do
    if name == case.name then return true end
    for _, metric in ipairs(case.metrics) do
      if name == metric.name then return true end
    end
  end
  return false
end

local function chosen_cases(wanted)
  local known, chosen = {}, {}
  for _, case in ipairs(cases) do
    known[case.name] = true
    for _, metric in ipairs(case.metrics) do known[metric.name] = true end
    if is_wanted(case, wanted) then chosen[#chosen + 1] = case end
  end
  for _, name in ipairs(wanted) do
    if not known[name] then error(("no case %q; --list names them"):format(name), 0) end
  end
  return chosen
end

local function print_machine(options)
  local python = shell_line(words.PYTHON .. " -V 2>&1") or "no Python"
  io.write(("%s; %s; %s processors; %d round%s%s\n\n"):format(_VERSION, python,
    shell_line("nproc"), options.rounds, options.rounds == 1 and "" or "s",
    options.scale and ", a tenth of the work: these figures only show that the programs run" or ""))
end

local function main()
  local options = read_options(arg)
  local chosen = chosen_cases(options.wanted)
  if options.list then
    for _, case in ipairs(chosen) do io.write(case.name, "\n") end
    return true
  end
  print_machine(options)
  io.write(report.head())
  local tally, failures = {met = 0, missed = 0, open = 0}, {}
  for _, case in ipairs(chosen) do
    local figures = run_case(case, options, failures)
    for _, metric in ipairs(case.metrics) do
      io.write("\n", report.block(case, metric, figures, tally))
    end
    io.flush()
  end
  io.write(("\n%d targets met, %d missed, %d not measured\n"):format(tally.met, tally.missed, tally.open))
  for _, failure in ipairs(failures) do io.write("failed: ", failure, "\n") end
  return #failures == 0
end

os.exit(main())
