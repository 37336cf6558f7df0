--- From the figures of all rounds to the lines of the table.
--
-- A figure list holds one number a round, in the order of the rounds; a side that has none stands in
-- the table with its reason, never with a number.

local report = {}

local RATE_UNITS <const> = {["/s"] = true, ["MB/s"] = true}

local function sorted(numbers)
  local copy = table.move(numbers, 1, #numbers, 1, {})
  table.sort(copy)
  return copy
end

function report.median(numbers)
  local copy = sorted(numbers)
  local middle = (#copy + 1) // 2
  if #copy % 2 == 1 then return copy[middle] end
  return (copy[middle] + copy[middle + 1]) / 2
end

--- The median of the ratios taken round by round, nil where a side has no figures.
function report.ratio(above, below)
  if #above == 0 or #above ~= #below then return nil end
  local ratios = {}
  for round, number in ipairs(above) do ratios[round] = number / below[round] end
  return report.median(ratios)
end

--- Three significant digits.
local function digits(number)
  if number >= 100 then return ("%.0f"):format(number) end
  return (("%#.3g"):format(number):gsub("%.$", ""))
end

function report.figure(number, unit)
  if unit ~= "/s" or number < 1000 then return digits(number) end
  if number < 999.5e3 then return digits(number / 1e3) .. " k" end
  return digits(number / 1e6) .. " M"
end

--- How ours compares with a side: the number, and the word for what it is.
local function compare(mine, theirs, unit, target)
  local speed
  if target then speed = target.speed ~= nil else speed = RATE_UNITS[unit] end
  if not speed then
    return report.ratio(mine, theirs), unit == "KiB" and "x its size" or "x its time"
  elseif RATE_UNITS[unit] then
    return report.ratio(mine, theirs), "x as fast"
  end
  return report.ratio(theirs, mine), "x as fast"
end

local function judge(ratio, target, tally)
  local met
  if target.speed then met = ratio >= target.speed else met = ratio <= target.costs end
  tally[met and "met" or "missed"] = tally[met and "met" or "missed"] + 1
  return met and "yes" or "NO"
end

local function target_text(target)
  if target.speed then return ">= " .. target.speed end
  return "<= " .. (target.costs or target.at_most)
end

local function line(...)
  local text = ("  %-24s %9s %9s %9s   %-18s %-9s %s"):format(...)
  return (text:gsub("%s+$", ""))
end

local function spread(figures, unit)
  if #figures == 0 then return figures.reason or "-", "", "" end
  local copy = sorted(figures)
  return report.figure(copy[1], unit), report.figure(report.median(copy), unit),
    report.figure(copy[#copy], unit)
end

local function side_line(label, mine, theirs, unit, target, tally)
  local low, middle, high = spread(theirs, unit)
  local ratio, word = compare(mine, theirs, unit, target)
  local against = ratio and digits(ratio) .. " " .. word or ""
  local verdict = ""
  if target and ratio then
    verdict = judge(ratio, target, tally)
  elseif target then
    tally.open = tally.open + 1
  end
  return line(label, low, middle, high, against, target and target_text(target) or "", verdict)
end

local function our_line(mine, metric, tally)
  local low, middle, high = spread(mine, metric.unit)
  local target = metric.targets[1]
  if not (target and target.at_most) then return line("ours", low, middle, high, "", "", "") end
  local verdict = ""
  if #mine == 0 then
    tally.open = tally.open + 1
  else
    local met = report.median(mine) <= target.at_most
    tally[met and "met" or "missed"] = tally[met and "met" or "missed"] + 1
    verdict = met and "yes" or "NO"
  end
  return line("ours", low, middle, high, "", target_text(target), verdict)
end

local function target_for(metric, side)
  for _, target in ipairs(metric.targets) do
    if target.side == side and not target.metric then return target end
  end
end

--- The block of one metric. figures[side][metric] is a figure list; the tally counts the targets.
function report.block(case, metric, figures, tally)
  local mine = figures.ours[metric.name]
  local lines = {("%s, %s"):format(metric.name, metric.unit), our_line(mine, metric, tally)}
  for i = 2, #case.sides do
    local side = case.sides[i].name
    local theirs = figures[side][metric.name]
    local target = target_for(metric, side)
    if #theirs > 0 or theirs.reason then
      lines[#lines + 1] = side_line(side, mine, theirs, metric.unit, target, tally)
    end
  end
  for _, target in ipairs(metric.targets) do
    if target.metric then
      local label = ("%s %s"):format(target.side, target.metric)
      local theirs = figures[target.side][target.metric]
      lines[#lines + 1] = side_line(label, mine, theirs, metric.unit, target, tally)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

function report.head()
  return line("", "min", "median", "max", "ours against it", "target", "met") .. "\n"
end

return report
