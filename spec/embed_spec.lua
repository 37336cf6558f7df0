-- A C host needs the header, the library and nothing else: no Lua.
local helper = require "spec.helper"

local BUILD = os.getenv "BUILD" or "build"

local function shell(line)
  local result = helper.run("", {command = "sh -c", args = {line}, limit = 3 * helper.LIMIT})
  assert.equal(0, result.status, helper.describe(result))
  return result.stdout
end

local function expected()
  local file <close> = assert(io.open "examples/embed/host.c")
  local prints = file:read("a"):match("%*%* Prints: ([^\n]+)")
  return (prints:gsub(" | ", "\n")) .. "\n"
end

describe("the C host", function()
  local dir
  before_each(function() dir = shell("mktemp -d"):match("%S+") end)
  after_each(function() shell("rm -r " .. dir) end)

  -- The core alone, as an archive: a host that asks for no Lua must link without it.
  it("links with no Lua and prints what it says", function()
    local sanitize = BUILD:find("asan$") and "-fsanitize=address,undefined " or ""
    shell(("ar rcs %s/libcore.a %s/core/*.o"):format(dir, BUILD))
    shell(("cc -std=c11 -Wall -Wextra -Werror %s-Isrc -o %s/host examples/embed/host.c %s/libcore.a -pthread")
      :format(sanitize, dir, dir))
    assert.equal(expected(), helper.output("", {command = dir .. "/host", args = {}}))
  end)

  it("has a header that C++ takes too", function()
    shell(("echo '#include <multiprocessing.h>' | c++ -Isrc -xc++ -std=c++11 -Wall -Werror -fsyntax-only -"))
  end)
end)
