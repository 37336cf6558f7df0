-- Says what a program of the documentation needs and the module, as built so far, does not have.
local found, mp = pcall(require, "multiprocessing")

local needs = {}

-- The first name of the list ("Pool", "futures.wait") that the module lacks, or nil.
function needs.missing(names)
  if not found then return names[1] and "multiprocessing" end
  for _, name in ipairs(names) do
    local value = mp
    for part in name:gmatch("[^.]+") do value = value and value[part] end
    if value == nil then return name end
  end
end

-- The names that a program takes from the module, which it calls mp.
function needs.of(program)
  local names = {}
  for name in program:gmatch("%f[%w]mp%.([%a_][%w_.]*)") do names[#names + 1] = name end
  return names
end

return needs
