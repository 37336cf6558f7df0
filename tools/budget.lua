-- The size budget: no function over 60 lines, no C function with more than 5 parameters, no
-- file of src or lua over 450 lines, but for the one header that C hosts include; no line of C over
-- 100 columns. The C side of functions is clang-tidy's (readability-function-size); this looks at the
-- Lua side, by the compiler's own listing, and at files. usage: lua5.4 tools/budget.lua

local FUNCTION_LINES, FILE_LINES, COLUMNS = 60, 450, 100
local complaints = 0

local function complain(...)
  complaints = complaints + 1
  io.stderr:write(string.format(...), "\n")
end

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

local LUAC = lines_of("command -v luac5.4 || command -v luac")[1] or "luac"

for _, path in ipairs(lines_of("find lua tools bench examples -name '*.lua' 2>/dev/null")) do
  for _, line in ipairs(lines_of(LUAC .. " -l -p " .. path)) do
    local first, last = line:match("^function <.-:(%d+),(%d+)>")
    local length = first and last - first + 1 or 0
    if length > FUNCTION_LINES then complain("%s:%d: a function of %d lines", path, first, length) end
  end
end

for _, path in ipairs(lines_of("find src lua -name '*.[ch]' -o -name '*.lua' 2>/dev/null")) do
  local count = 0
  for line in io.lines(path) do
    count = count + 1
    if #line > COLUMNS and path:find("%.[ch]$") then
      complain("%s:%d: %d columns, more than %d", path, count, #line, COLUMNS)
    end
  end
  if count > FILE_LINES and path ~= "src/multiprocessing.h" then
    complain("%s: %d lines, more than %d", path, count, FILE_LINES)
  end
end

if complaints > 0 then os.exit(1) end
