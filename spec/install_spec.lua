-- What people install works without the tree: the files of `make install`, and the libraries in
-- a C host that embeds Lua.
local helper = require "spec.helper"

local BUILD = os.getenv "BUILD" or "build"
local PROGRAM = [[
local mp = require "multiprocessing"
local p = mp.Process{target = function(text) print(text) end, args = {"it runs"}}
p:start()
p:join()
]]

local function shell(line)
  local result = helper.run("", {command = "sh -c", args = {line}, limit = 3 * helper.LIMIT})
  assert.equal(0, result.status, helper.describe(result))
  return result.stdout
end

-- Nothing here may find the tree by the paths of the run that we are part of.
local function output(command, args, env)
  env.LUA_PATH, env.LUA_CPATH = env.LUA_PATH or "", env.LUA_CPATH or ""
  return helper.output("", {command = command, args = args, env = env})
end

-- A core without the Lua layer can be installed, but has nothing to run.
local layer = io.open("lua/multiprocessing/init.lua")
if not layer then return pending("an installation: there is no Lua layer") end
layer:close()

describe("an installation", function()
  local dir

  before_each(function()
    dir = shell("mktemp -d"):match("%S+")
  end)
  after_each(function() shell("rm -r " .. dir) end)

  it("has all that a program needs", function()
    shell("make -s install PREFIX=/p DESTDIR=" .. dir .. " BUILD=" .. BUILD)
    local lua, c = dir .. "/p/share/lua/5.4/", dir .. "/p/lib/lua/5.4/"
    local path = lua .. "?.lua;" .. lua .. "?/init.lua"
    assert.equal("it runs\n", output("lua5.4", {"-e", PROGRAM}, {LUA_PATH = path, LUA_CPATH = c .. "?.so"}))
  end)

  local function host(libraries)
    local include = os.getenv "LUA_INCDIR" or "/usr/include/lua5.4"
    local sanitize = BUILD:find("asan$") and "-fsanitize=address,undefined " or ""
    shell("cc " .. sanitize .. "-I" .. include .. " -o " .. dir .. "/host spec/support/host.c "
      .. libraries .. " -llua5.4 -lm -pthread")
    return dir .. "/host"
  end

  it("lets a C host link the static library, with the Lua files in it", function()
    assert.equal("it runs\n", output(host(BUILD .. "/libmultiprocessing.a"), {PROGRAM}, {}))
  end)

  it("lets a C host link the shared library", function()
    local command = host("-L" .. BUILD .. " -lmultiprocessing")
    assert.equal("it runs\n", output(command, {PROGRAM}, {LD_LIBRARY_PATH = BUILD}))
  end)
end)
