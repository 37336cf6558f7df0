-- The layering rule, checked. Arrows point down only: lua/ -> src/binding -> src/codec ->
-- src/core, and inside the core a file includes only headers of its own rank or a lower one.
-- To add a file is to choose its rank here. A file `queue_check.c` has the rank of `queue`.
-- usage: lua5.4 tools/layers.lua (after make; `make layers` does both)

local RANKS = { -- lowest first
  {"core/base", "core/error", "core/trace", "core/word"},
  {"core/os", "core/clock"},
  {"core/arena"},
  {"core/proctab"},
  {"core/tx"},
  {"core/park"},
  {"core/mutex"},
  {"core/heap"},
  {"core/object", "core/handle", "core/bell"},
  {"core/message"},
  {"core/check", "core/dump"},
  {"core/sync", "core/lock", "core/semaphore", "core/event", "core/condition", "core/barrier"},
  {"core/queue", "core/pipe", "core/dict", "core/list", "core/array"},
  {"core/context"},
  {"core/start", "core/process", "core/pool", "core/net"},
  {"core/kinds"},
  {"codec/"},
  {"binding/"},
}

-- What every platform has; pthread, poll and signal for their types and constants alone.
local STANDARD = {}
for name in ([[assert ctype errno float inttypes limits math poll pthread setjmp signal stdarg stdbool stddef stdint
    stdio stdlib string time]]):gmatch("%a+") do STANDARD[name .. ".h"] = true end
local LUA = {["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true}

local complaints = 0

local function complain(...)
  complaints = complaints + 1
  io.stderr:write(string.format(...), "\n")
end

local function output(command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  return text, pipe:close()
end

local function files(pattern)
  local list = {}
  for name in output("(ls " .. pattern .. " 2>/dev/null)"):gmatch("[^\n]+") do list[#list + 1] = name end
  return list
end

-- "src/core/queue_check.c" -> its rank, by the longest listed name that it begins with.
local function rank_of(path)
  local name = path:gsub("^src/", ""):gsub("%.[ch]$", "")
  if name == "multiprocessing" then return 0 end
  local rank, length = nil, -1
  for i, nouns in ipairs(RANKS) do
    for _, noun in ipairs(nouns) do
      local fits = name == noun or name:sub(1, #noun + 1) == noun .. "_" or
        noun:sub(-1) == "/" and name:sub(1, #noun) == noun
      if fits and #noun > length then rank, length = i, #noun end
    end
  end
  return rank
end

local function resolve(path, included)
  local folder = path:match("^(.*)/")
  local name = folder .. "/" .. included
  repeat
    local shorter = name:gsub("[^/]+/%.%./", "", 1)
    local done = shorter == name
    name = shorter
  until done
  return name
end

local function check_own_include(path, line, included)
  local target = resolve(path, included)
  local mine, theirs = rank_of(path), rank_of(target)
  if not theirs then
    complain("%s:%d: %s has no rank in tools/layers.lua", path, line, target)
  elseif mine and theirs > mine then
    complain("%s:%d: includes %s, of a higher rank", path, line, included)
  end
end

local function check_system_include(path, line, included)
  local in_core = path:find("^src/core/") or path == "src/multiprocessing.h"
  if path:find("^src/core/os[_.]") and not LUA[included] then return end
  if STANDARD[included] or LUA[included] and not in_core then return end
  complain("%s:%d: <%s> is for %s", path, line, included,
    LUA[included] and "codec and binding" or "src/core/os_*.c")
end

local PLATFORM = {"__linux__", "__APPLE__", "_WIN32", "__FreeBSD__", "__GLIBC__", "__ANDROID__"}

local MALLOC = {malloc = true, calloc = true, realloc = true, strdup = true, strndup = true}

local function check_line(path, number, line)
  local own = line:match('^%s*#%s*include%s+"([^"]+)"')
  local system = line:match("^%s*#%s*include%s+<([^>]+)>")
  if own then check_own_include(path, number, own) end
  if system then check_system_include(path, number, system) end
  if line:find("^%s*#") and not path:find("^src/core/os_") then
    for _, word in ipairs(PLATFORM) do
      if line:find(word, 1, true) then complain("%s:%d: %s outside of src/core/os_*", path, number, word) end
    end
  end
  if path:find("^src/codec/") or path:find("^src/binding/") then
    for word in line:gmatch("[%a_][%w_]*") do
      if MALLOC[word] then complain("%s:%d: %s: what lives beside the Lua stack is a userdata", path, number, word) end
    end
  end
end

local function check_source(path)
  if not rank_of(path) then complain("%s: has no rank in tools/layers.lua", path) end
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    check_line(path, number, line)
  end
end

-- The core links without Lua, and every name that it exports is ours.
local function check_objects()
  local compiler = os.getenv "CC" or "cc"
  if #files("build/core/*.o") == 0 then return end
  local text, ok = output(compiler .. " -shared -Wl,-z,defs -o /dev/null build/core/*.o -pthread")
  if not ok then complain("the core does not link alone:\n%s", text) end
  for line in output("nm -g --defined-only build/core/*.o"):gmatch("[^\n]+") do
    local name = line:match("^%x+ %a (%S+)$")
    if name and not name:find("^mp_") then complain("the core exports %s, which is not ours to name", name) end
  end
end

-- What a process loads as the Lua module shows only how to open it.
local function check_module()
  for line in output("nm -D --defined-only build/multiprocessing/core.so"):gmatch("[^\n]+") do
    local name = line:match("^%x+ %a (%S+)$")
    if name and not name:find("^luaopen_") then complain("core.so exports %s", name) end
  end
end

-- Each header can be included alone, from C and from C++.
local function check_header(path)
  local include = path:find("^src/core/") or path == "src/multiprocessing.h"
  local flags = include and "" or "-I" .. (os.getenv "LUA_INCDIR" or "/usr/include/lua5.4")
  for language, compiler in pairs {["c -std=c11"] = "cc", ["c++ -std=c++11"] = "c++"} do
    local text, ok = output(("echo '#include \"%s\"' | %s -D_GNU_SOURCE -Wall -Wextra -fsyntax-only -x%s -I. %s -")
      :format(path, compiler, language, flags))
    if not ok then complain("%s does not stand alone in %s:\n%s", path, language, text) end
  end
end

local FORBIDDEN = {util = true, utils = true, common = true, helper = true, helpers = true, misc = true}

for _, path in ipairs(files("src/*.[ch] src/*/*.[ch]")) do check_source(path) end
for _, path in ipairs(files("src/*/*.[ch] lua/multiprocessing/*.lua")) do
  local name = path:match("([^/.]+)%.")
  if FORBIDDEN[name] then complain("%s: its place has not been found yet", path) end
end
for _, path in ipairs(files("src/*.h src/*/*.h")) do check_header(path) end
check_objects()
check_module()
if complaints > 0 then os.exit(1) end
print "the layers hold"
