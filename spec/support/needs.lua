-- Says what a program of the documentation needs and the module, as built so far, does not have.
local mp = require "multiprocessing"

local needs = {}

-- What the design has and the module will get: a program that needs it is pending. Any other name
-- that is missing was lost, and is an error.
local LATER = {["futures.ThreadPoolExecutor"] = true, Manager = true}

-- The first name of the list ("Pool", "futures.wait") that the module lacks, or nil.
function needs.missing(names)
  for _, name in ipairs(names) do
    local value = mp
    for part in name:gmatch("[^.]+") do value = value and value[part] end
    if value == nil then
      assert(LATER[name], "the module has lost its " .. name)
      return name
    end
  end
end

-- The names that a program takes from the module, which it calls mp.
function needs.of(program)
  local names = {}
  for name in program:gmatch("%f[%w]mp%.([%a_][%w_.]*)") do names[#names + 1] = name end
  return names
end

return needs
