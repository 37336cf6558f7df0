-- Each numbered example runs as a real program and prints what its third line says, in under a
-- second. The word count counts a folder whose words are known.
local helper = require "spec.helper"
local needs = require "spec.support.needs"

local function read(name)
  local file <close> = assert(io.open(name))
  return file:read("a")
end

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  assert(file:write(text))
end

local function shell(command)
  local pipe <close> = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  return lines
end

local function lacks(program)
  local name = needs.missing(needs.of(program))
  return name and "the module has no " .. name .. " yet"
end

-- "a | b" is two lines.
local function expected_text(program)
  local prints = program:match("^%-%- Shows:  [^\n]+\n%-%- Run:    [^\n]+\n%-%- Prints: ([^\n]+)\n")
  assert(prints, "it does not begin with its three lines")
  return (prints:gsub(" | ", "\n")) .. "\n"
end

local function check_form(name)
  local program = read(name)
  expected_text(program)
  local _, count = program:gsub("\n", "")
  assert(count <= 50, name .. " is longer than 50 lines")
  assert(program:find("lua5.4 " .. name, 1, true), name .. " does not say how to run it")
end

local function check_example(name)
  local program = read(name)
  local lacking = lacks(program)
  if lacking then return pending(lacking) end
  local run = helper.run(name, {pty = true})
  assert(run.status == 0 and #run.left == 0 and run.stderr == "", helper.describe(run))
  assert.equal(expected_text(program), run.stdout)
end

describe("examples", function()
  local names = shell("ls examples/[0-9]*.lua")

  it("are short and begin with their three lines", function()
    for _, name in ipairs(names) do check_form(name) end
  end)

  for _, name in ipairs(names) do
    it(name, function() check_example(name) end)
  end
end)

describe("the word count", function()
  local WORDCOUNT = "examples/wordcount.lua"
  local folder

  local function count()
    local lacking = lacks(read(WORDCOUNT))
    if lacking then return pending(lacking) end
    local run = helper.run(WORDCOUNT, {args = {folder, 2}})
    assert(run.status == 0 and #run.left == 0 and run.stderr == "", helper.describe(run))
    return run.stdout
  end

  before_each(function()
    folder = shell("mktemp -d")[1]
  end)

  after_each(function()
    os.execute("rm -r " .. folder)
  end)

  it("counts every text file, and nothing else", function()
    write(folder .. "/one.txt", ("The cat isn't a dog.\n"):rep(3))
    os.execute("mkdir " .. folder .. "/below")
    write(folder .. "/below/it's two", "the Dog; THE cat, the end")
    write(folder .. "/binary", "cat\0cat cat cat cat cat cat cat cat")
    write(folder .. "/packed.gz", ("cat "):rep(20))
    write(folder .. "/empty", "")
    local text = count()
    assert.truthy(text:find("^2 text files, 0%.0 MB, below " .. folder:gsub("%p", "%%%0")), text)
    for _, way in ipairs {"one process", "a Pool of 2", "2 processes and a Queue"} do
      assert.truthy(text:find("\n" .. way .. " +%d+%.%d%d s +%d+ files/s"), way .. " in\n" .. text)
    end
    local _, comparisons = text:gsub("speed%-up %d+%.%d%d\n", "")
    assert.equal(2, comparisons)
    assert.equal([[
the most frequent of 6 different words:
         6  the
         4  cat
         4  dog
         3  a
         3  isn't
         1  end
]], text:match("the most frequent.*"))
  end)

  it("counts the project's own text where there is none, and says so", function()
    local text = count()
    assert.truthy(text:find("no text below " .. folder .. ": counting this project's own text", 1, true), text)
    assert.truthy(text:find("text files", 1, true), text)
  end)
end)
