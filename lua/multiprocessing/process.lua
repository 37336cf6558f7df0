-- Process: a class to use as it is, or to be extended. What a user sees of a process is its object;
-- what we know of it is kept beside, so that a subclass may set fields before or after our init.
local call = require "multiprocessing.call"
local child = require "multiprocessing.child"
local class = require "multiprocessing.class"
local core = require "multiprocessing.core"
local log = require "multiprocessing.log"
local signals = require "multiprocessing.signals" -- now: to be shown when perhaps no file can be opened

local raise = core.raise

local process = {}

local Process = class:extend("Process")

-- object -> {class, name (nil: made of the others when it is asked for), daemon, order (among those of its
-- maker), maker (the maker's state), owner (the maker's pid), authkey, target, args, kwargs, handle, pid,
-- exitcode, place (among the children), closed}. As a process it also has {count (of the objects it made),
-- parent (an object, once somebody has asked)}; who stands for our parent is marked `is_parent`.
local states = setmetatable({}, {__mode = "k"})

-- A fork copies each page that its child writes. What a child has to know stands in its state before, and
-- all that it writes here to become itself is this.
local current -- what this process is itself, as one of these objects

-- Those that were started, until their exit codes are known, and those of our ancestors, between false for
-- those that have ended. A hook may run between any two lines here, and start or join others: so this is
-- a list that C changes.
local children = {}

local function state_of(object)
  local s = states[object]
  if not s then
    s = {}
    states[object] = s
  end
  return s
end

-- ---- the object's fields ----

local function class_name(object)
  return getmetatable(object).__name or "Process"
end

-- What stands before the numbers of a process's children: "2:" in Process-2.
local function prefix_of(s)
  return s.maker and prefix_of(s.maker) .. s.order .. ":" or ""
end

local function name_of(s)
  if not s.name and s.order then s.name = s.class .. "-" .. prefix_of(s.maker) .. s.order end
  return s.name
end

local function check_class(object)
  if not Process:is(object) then raise("TypeError", "a Process expected, got " .. core.show(object)) end
end

local function checked(object)
  local s = states[object]
  if not s or not s.owner then check_class(object) end
  if not s or not s.owner then
    raise("ProcessError", ("Process.init was not called by the init of %s"):format(class_name(object)))
  end
  if s.closed then raise("ValueError", "process object is closed") end
  return s
end

-- Its state, for what only a started child's parent may ask.
local function started(object, verb)
  local s = checked(object)
  if s.is_parent then return s end
  if s.owner ~= core.getpid() then raise("ProcessError", ("can only %s a child process"):format(verb)) end
  if not s.handle then raise("ProcessError", ("can only %s a started process"):format(verb)) end
  return s
end

local function ended(object, s, code, known)
  s.exitcode = code
  core.process_leave(children, s.place, object)
  if not known and not s.is_parent then
    log.warning(("the exit code of %s (pid %d) is lost: something else has reaped it"):format(name_of(s), s.pid))
  end
  return code
end

-- The exit code, or nil while it runs.
local function poll(object, s)
  if s.exitcode or not s.handle or s.owner ~= core.getpid() then return s.exitcode end
  local code, known = s.handle:exit_code()
  return code and ended(object, s, code, known)
end

local getters = {}

function getters.name(object) return name_of(state_of(object)) end
function getters.daemon(object) return state_of(object).daemon or false end
function getters.authkey(object) return state_of(object).authkey end

function getters.pid(object)
  return object == current and core.getpid() or state_of(object).pid
end

getters.ident = getters.pid

function getters.exitcode(object)
  local s = state_of(object)
  if s.closed then raise("ValueError", "process object is closed") end
  if s.is_parent then return nil end
  return poll(object, s)
end

function getters.sentinel(object)
  local s = checked(object)
  if not s.handle then raise("ProcessError", "process not started") end
  return s.handle:sentinel()
end

local setters = {}

local function set_string(field)
  return function(object, value)
    if type(value) ~= "string" then
      raise("TypeError", ("%s must be a string, got %s"):format(field, tostring(value)))
    end
    state_of(object)[field] = value
  end
end

setters.name = set_string("name")
setters.authkey = set_string("authkey")

function setters.daemon(object, value)
  local s = state_of(object)
  if type(value) ~= "boolean" then
    raise("TypeError", "daemon must be a boolean, got " .. tostring(value))
  end
  if s.handle or object == current then raise("ProcessError", "process has already started") end
  s.daemon = value
end

local function set(object, key, value)
  if setters[key] then return setters[key](object, value) end
  if getters[key] then raise("TypeError", ("the field %s of a process cannot be set"):format(key)) end
  rawset(object, key, value)
end

-- ---- classes ----

local function status_of(object, s)
  if object == current then return "started" end
  if not s.handle then return "initial" end
  if s.is_parent then return s.handle:join(0) and "stopped" or "started" end
  local code = poll(object, s)
  if not code then return s.owner == core.getpid() and "started" or "unknown" end
  local name = code < 0 and signals[-code]
  return "stopped exitcode=" .. (name and "-" .. name or code)
end

local function show(object)
  local s = state_of(object)
  local words = {("<%s name='%s'"):format(class_name(object), name_of(s))}
  if s.closed then return words[1] .. " closed>" end
  if object.pid then words[#words + 1] = ("pid=%d"):format(object.pid) end
  if s.owner and not s.is_parent then words[#words + 1] = ("parent=%d"):format(s.owner) end
  words[#words + 1] = status_of(object, s)
  if s.daemon then words[#words + 1] = "daemon" end
  return table.concat(words, " ") .. ">"
end

local function equip(of)
  of.__index = function(object, key)
    local get = getters[key]
    if get then return get(object) end
    return of[key]
  end
  of.__newindex, of.__tostring = set, show
  return of
end

-- A class of processes; they are named after it.
function Process:extend(name)
  return equip(class.extend(self, name))
end

equip(Process)

-- ---- what a process is made of ----

local NOTHING <const> = {}

-- One table of its final size: less to copy after a fork.
function Process:init(...)
  check_class(self)
  local target, name, args, kwargs, daemon = core.process_options(...)
  args, kwargs = args and call.list(args), kwargs and call.names(kwargs)
  local before, me = states[self] or NOTHING, states[current]
  me.count = me.count + 1
  if daemon == nil then daemon = before.daemon end
  if daemon == nil then daemon = me.daemon end
  states[self] = {
    class = class_name(self), name = name or before.name, daemon = daemon, order = me.count, maker = me,
    owner = core.getpid(),
    authkey = before.authkey or me.authkey, target = target, args = args, kwargs = kwargs,
    handle = nil, pid = nil, exitcode = nil, place = nil, count = 0,
  }
end

-- What the process does: calls the target. Subclasses put their own in its place.
function Process:run()
  local s = checked(self)
  if not s.target then return end
  if not s.args and not s.kwargs then return s.target() end
  local arguments = call.arguments(s.target, s.args, s.kwargs)
  s.target(table.unpack(arguments, 1, arguments.n))
end

-- ---- start ----

-- At the end of run, however it ends.
local ending = setmetatable({}, {__close = function(_, err)
  local module = package.loaded["multiprocessing.ending"]
  if module then module.run(err) end
end})

-- What the child does, which is a copy of this process yet.
local function live(object, ...)
  current = object
  child.begin(...)
  local _ <close> = ending
  object:run()
end

-- Those of our children that may run.
local function running()
  local me, list = states[current], {}
  for i = 1, #children do
    local object = children[i]
    if object and states[object].maker == me then list[#list + 1] = object end
  end
  return list
end

-- Notes who has ended; what nobody has an object of is C's.
local function reap()
  for i = 1, #children do
    local object = children[i]
    if object then poll(object, states[object]) end
  end
end

-- A plain interpreter waits for its children at its end; another host asks for that itself.
local settled = false

local function is_standalone()
  local name = (core.executable() or ""):match("([^/]*)$")
  return type(rawget(_G, "arg")) == "table" and name:find("^lua[%d.%-]*$") ~= nil
end

local function settle()
  if not settled and is_standalone() then core.finish_at_exit() end
  settled = true
end

local warned = false

local function warn_of_threads()
  if warned then return end
  local threads = core.threads()
  if threads <= 1 then return end
  warned = true
  log.warning(("this process has %d threads and forks: a lock that another thread holds now stays"
    .. " locked in the child"):format(threads))
end

-- Before any fork.
local function prepare()
  reap()
  settle()
  warn_of_threads()
end

-- Before a child of ours is forked.
function process.prepare_fork()
  if states[current].daemon then
    raise("ProcessError", "daemonic processes are not allowed to have children")
  end
  prepare()
end

function Process:start()
  local s = checked(self)
  if s.handle or self == current then raise("ProcessError", "cannot start a process twice") end
  if s.owner ~= core.getpid() then
    raise("ProcessError", "can only start a process object created by current process")
  end
  process.prepare_fork()
  s.handle, s.pid, s.place = core.process_start(s.name or s.class, s.name and 0 or s.order, prefix_of(s.maker),
    s.daemon, live, child.describe, child.report, self, children)
  s.target, s.args, s.kwargs = nil, nil, nil
end

-- ---- a started one ----

function Process:join(timeout)
  local s = started(self, "join")
  local ready, code, known = s.handle:join(timeout)
  if ready and not s.exitcode then ended(self, s, code, known) end
  return ready
end

function Process:is_alive()
  local s = checked(self)
  if self == current then return true end
  if s.is_parent then return not s.handle:join(0) end
  if s.owner ~= core.getpid() then raise("ProcessError", "can only test a child process") end
  return s.handle ~= nil and poll(self, s) == nil
end

local function signalling(verb, number)
  return function(self)
    local s = started(self, verb)
    if s.is_parent then raise("ProcessError", ("can only %s a child process"):format(verb)) end
    s.handle:signal(number)
  end
end

Process.interrupt = signalling("interrupt", 2)
Process.kill = signalling("kill", 9)
Process.terminate = signalling("terminate", 15)

function Process:close()
  local s = states[self]
  if s and s.closed then return end
  s = checked(self)
  if self == current or s.handle and not s.exitcode and poll(self, s) == nil then
    raise("ValueError",
      "Cannot close a process while it is still running. You should first call join() or terminate().")
  end
  if s.handle then s.handle:close() end
  s.handle, s.target, s.args, s.kwargs = nil, nil, nil, nil
  s.closed = true
end

-- ---- this process ----

local MainProcess = Process:extend("_MainProcess")

current = setmetatable({}, MainProcess)
states[current] = {name = "MainProcess", owner = core.getppid(), daemon = false,
  authkey = core.random_bytes(32), count = 0}

local ParentProcess = Process:extend("_ParentProcess")

function process.current_process() return current end

-- Who has started this process by start(), or nil.
function process.parent_process()
  local me = states[current]
  if me.parent then return me.parent end
  local handle = core.process_parent()
  if not handle then return nil end
  local parent = setmetatable({}, ParentProcess)
  states[parent] = {name = name_of(me.maker), owner = core.getpid(), handle = handle, pid = handle:pid(),
    is_parent = true}
  me.parent = parent
  return parent
end

function process.active_children()
  reap()
  core.process_reap()
  local list = running()
  table.sort(list, function(a, b) return states[a].order < states[b].order end)
  return list
end

local SPREAD <const> = 0x9E3779B97F4A7C15 -- numbers times this differ in many bits

-- For a pool that starts so many workers: what each of them calls with its number, to become a
-- process of its own. What can be made before they are forked is made here.
function process.worker_maker(workers)
  local worker, me, seed, seed2 = setmetatable({}, Process), states[current], nil, nil
  local first = me.count
  me.count = first + workers
  local s = {class = "ForkPoolWorker", name = nil, daemon = false, owner = core.getpid(), maker = me, order = first,
    authkey = me.authkey, count = 0, parent = nil}
  states[worker] = s
  core.reseed(function(a, b) seed, seed2 = a, b end)
  return function(number)
    s.order = first + number
    current = worker
    child.begin(seed + number * SPREAD, seed2)
  end
end

-- The bare fork: the child goes on as a copy of this program. 0 there, here the child's pid.
function process.fork()
  prepare()
  local handle, pid = core.process_start()
  if not handle then
    children = {}
    core.reseed(math.randomseed)
    return 0
  end
  handle:close()
  return pid
end

-- For a program that is frozen into an executable; nothing to do here.
function process.freeze_support() end

process.Process = Process

return process
