-- repr: any value in the syntax of Lua's constructors, keys sorted.
local WORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then
    true until while]]):gmatch("%a+") do WORDS[word] = true end

local ORDER = {number = 1, string = 2, boolean = 3}

local show -- (value, seen) -> text

local function number(value)
  if math.type(value) == "integer" then
    return value == math.mininteger and "math.mininteger" or tostring(value)
  elseif value ~= value then
    return "0/0"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "math.huge" or "-math.huge"
  end
  for digits = 14, 17 do
    local text = ("%%.%dg"):format(digits):format(value)
    if tonumber(text) == value then return text:find("[%.eE]") and text or text .. ".0" end
  end
end

local ESCAPES = {["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"'}

local function text(value)
  local shown = value:gsub('[%c\\"]', function(c) return ESCAPES[c] or ("\\x%02X"):format(c:byte()) end)
  if not utf8.len(shown) then
    shown = shown:gsub("[\x80-\xFF]", function(c) return ("\\x%02X"):format(c:byte()) end)
  end
  return '"' .. shown .. '"'
end

local function before(a, b)
  local x, y = ORDER[type(a)] or 4, ORDER[type(b)] or 4
  if x ~= y then return x < y end
  if x <= 2 then return a < b end
  return tostring(a) < tostring(b)
end

local function key(value, seen)
  if type(value) == "string" and value:find("^[%a_][%w_]*$") and not WORDS[value] then return value end
  return "[" .. show(value, seen) .. "]"
end

-- The keys behind the list part, in order.
local function other_keys(value, length)
  local keys = {}
  for k in next, value do
    if math.type(k) ~= "integer" or k < 1 or k > length then keys[#keys + 1] = k end
  end
  table.sort(keys, before)
  return keys
end

local function members(value, seen)
  local parts, length = {}, rawlen(value)
  while rawget(value, length) == nil and length > 0 do length = length - 1 end
  for i = 1, length do parts[i] = show(rawget(value, i), seen) end
  for _, k in ipairs(other_keys(value, length)) do
    parts[#parts + 1] = key(k, seen) .. " = " .. show(rawget(value, k), seen)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function object(value, seen)
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  if seen[value] then return "{...}" end
  seen[value] = true
  local shown = members(value, seen)
  seen[value] = nil
  return shown
end

function show(value, seen)
  local kind = type(value)
  if kind == "number" then return number(value) end
  if kind == "string" then return text(value) end
  if kind == "table" then return object(value, seen) end
  return tostring(value)
end

return {repr = function(value) return show(value, {}) end}
