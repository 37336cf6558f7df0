-- Looking at what a program printed, line by line: what several processes print comes in an order
-- that nobody fixed, but not everything may happen in every order.
local assert = require "luassert"

local look = {}

function look.lines_of(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

-- The captures of all lines that match, in order.
function look.captured(lines, pattern)
  local list = {}
  for _, line in ipairs(lines) do list[#list + 1] = line:match(pattern) end
  return list
end

-- The position of the first line that starts with the text.
function look.at(lines, text)
  for i, line in ipairs(lines) do
    if line:sub(1, #text) == text then return i end
  end
  return error(("no line starts with %q"):format(text), 2)
end

function look.in_order(lines, texts)
  for i = 2, #texts do
    local before, after = texts[i - 1], texts[i]
    assert(look.at(lines, before) < look.at(lines, after), ("%q came before %q"):format(after, before))
  end
end

-- Each of the two lines comes before the last of the other.
function look.overlap(lines, one, other)
  local first, last = {}, {}
  for i, line in ipairs(lines) do first[line], last[line] = first[line] or i, i end
  assert(first[one] < last[other] and first[other] < last[one], "one after the other")
end

function look.is_last(lines, text)
  assert.equal(text, lines[#lines])
end

-- Never more than `limit` have come in and not left; nobody leaves who is not inside.
function look.inside(lines, enter, leave, limit)
  local here, count = {}, 0
  for _, line in ipairs(lines) do
    local comes, goes = line:match(enter), line:match(leave)
    if goes then
      assert(here[goes], goes .. " left without having come")
      here[goes], count = nil, count - 1
    elseif comes then
      here[comes], count = true, count + 1
    end
    assert(count <= limit, ("%d inside at %q"):format(count, line))
  end
  assert.equal(0, count)
end

-- The number of different values is at most `limit`.
function look.at_most(limit, values)
  local seen, count = {}, 0
  for _, value in ipairs(values) do
    if not seen[value] then seen[value], count = true, count + 1 end
  end
  assert(count >= 1 and count <= limit, ("%d different ones, at most %d expected"):format(count, limit))
end

-- Each thing is eaten as often as it was made, and never before.
function look.eaten_once(lines, made, eaten)
  local left = {}
  for _, line in ipairs(lines) do
    local new, gone = line:match(made), line:match(eaten)
    if new then left[new] = (left[new] or 0) + 1 end
    if gone then
      left[gone] = (left[gone] or 0) - 1
      assert(left[gone] >= 0, gone .. " was eaten before it was made")
    end
  end
  for what, count in pairs(left) do assert.equal(0, count, what) end
end

-- A list: each text as often as the number after it says (once without one).
function look.list(...)
  local result = {}
  for _, item in ipairs {...} do
    if type(item) == "number" then
      for _ = 2, item do result[#result + 1] = result[#result] end
    else
      result[#result + 1] = item
    end
  end
  return result
end

-- One list: for each number from a to b, the texts with the number in the place of %d.
function look.numbered(a, b, ...)
  local result = {}
  for i = a, b do
    for _, text in ipairs {...} do result[#result + 1] = (text:gsub("%%d", i)) end
  end
  return result
end

function look.joined(...)
  local result = {}
  for _, part in ipairs {...} do table.move(part, 1, #part, #result + 1, result) end
  return result
end

return look
