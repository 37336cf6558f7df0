-- What became of a task that gave no result, as an error object. C calls these as it takes results in
-- (src/binding/pool_result.c).
local errors = require "multiprocessing.errors"
local repr = require "multiprocessing.repr".repr
local signals = require "multiprocessing.signals"

local result = {}

local SHOWN = 60 -- letters of the arguments' short form

-- An error that a function has raised in a worker, as it was sent: {how, value, traceback}. Gives the
-- error to raise here, and the traceback.
function result.raised(how, value, traceback)
  if how == 1 then
    if errors.Error:is(value) then value.traceback = traceback end
    return value, traceback
  end
  local text = traceback and value .. "\n\n" .. traceback or value
  return errors.RemoteError {message = text, value = value, traceback = traceback}, traceback
end

local function short(value)
  local text = repr(value)
  if #text <= SHOWN then return text end
  return text:sub(1, utf8.offset(text, 0, SHOWN - 2) - 1) .. "..."
end

-- name(arguments): of the item at that place of the task; form and values are as C has them.
function result.task_text(name, place, form, ...)
  local shown = {}
  if form == 0 then
    for i = 1, select("#", ...) do shown[i] = short((select(i, ...))) end
  elseif form == 1 then
    shown[1] = short((...)[place])
  elseif form == 2 then
    local list = (...)[place]
    for i = 1, list.n or #list do shown[i] = short(list[i]) end
  else
    shown[1] = "..."
  end
  local text = table.concat(shown, ", ")
  if #text > 2 * SHOWN then text = short(text) end
  return ("%s(%s)"):format(name, text)
end

local function how_it_ended(exitcode)
  if not exitcode then return "has ended" end
  if exitcode >= 0 then return "has ended with exit code " .. exitcode end
  return "was killed by " .. (signals[-exitcode] or "signal " .. -exitcode)
end

local function worker_lost(how, exitcode, pid, task, executor)
  local message = ("worker %d %s while it ran %s"):format(pid, how, task)
  return errors[executor and "BrokenProcessPool" or "WorkerLostError"] {
    message = message, exitcode = exitcode, pid = pid, task = task}
end

function result.lost(exitcode, ...)
  return worker_lost(how_it_ended(exitcode), exitcode, ...)
end

function result.too_large(exitcode, ...)
  return worker_lost("was killed above its memory limit (max_memory_per_child)", exitcode, ...)
end

function result.late(_, pid, task)
  return errors.TimeoutError {message = ("%s ran too long: its worker %d was killed"):format(task, pid),
    pid = pid, task = task}
end

function result.cancelled(_, _, task)
  return errors.CancelledError {message = task .. " was cancelled", task = task}
end

-- All tasks of a pool end like this.
function result.ended(kind, message)
  return errors[kind] {message = message}
end

function result.initializer_failed(err, traceback, executor)
  local text = type(err) == "table" and rawget(err, "value") or err
  return errors[executor and "BrokenProcessPool" or "WorkerLostError"] {
    message = "the pool's initializer fails: " .. tostring(text), cause = err, traceback = traceback}, traceback
end

return result
