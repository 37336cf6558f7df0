-- Writes the rockspec: its lists are the tree's files, and spec/rockspec_spec.lua compares the two.
-- usage: lua5.4 tools/rockspec.lua > rockspec/multiprocessing-scm-1.rockspec

local function list(command, keep)
  local names = {}
  local pipe <close> = assert(io.popen("LC_ALL=C ls " .. command .. " 2>/dev/null"))
  for name in pipe:lines() do
    if not keep or keep(name) then names[#names + 1] = name end
  end
  return names
end

local function is_released(name) -- what test builds add is no part of the rock
  return not name:find("os_fault.c", 1, true)
end

local sources, modules = {}, {}
for _, name in ipairs(list("src/*/*.c", is_released)) do
  sources[#sources + 1] = ('        "%s",\n'):format(name)
end
for _, name in ipairs(list("lua/multiprocessing/*.lua")) do
  local module = name:match("([^/]+)%.lua$")
  module = module == "init" and "multiprocessing" or "multiprocessing." .. module
  modules[#modules + 1] = ('    ["%s"] = "%s",\n'):format(module, name)
end

io.write([[
rockspec_format = "3.0"
package = "multiprocessing"
version = "scm-1"
source = {url = "git+file://."} -- `luarocks make` builds the tree that it stands in
description = {
  summary = "Python's multiprocessing for Lua",
  detailed = "Processes, pools, queues, locks, shared values and tables on one crash-proof shared memory.",
  license = "MIT",
}
supported_platforms = {"linux"}
dependencies = {"lua >= 5.4, < 5.6"}
build = {
  type = "builtin",
  modules = {
    ["multiprocessing.core"] = {
      sources = {
]], table.concat(sources), [[
      },
      defines = {"_GNU_SOURCE"},
      libraries = {"pthread"},
    },
]], table.concat(modules), [[
  },
}
test = {type = "busted"}
]])
