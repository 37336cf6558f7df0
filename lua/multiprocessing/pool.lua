-- Pool: workers that run functions. Making one and the maps; the rest is C (src/binding/pool*.c),
-- which has the calls where every microsecond counts.
local core = require "multiprocessing.core"
local process = require "multiprocessing.process"
local sequence = require "multiprocessing.sequence"
require "multiprocessing.result" -- C asks for it at the first failure, when perhaps no file can be opened

local raise = core.raise

local pool = {}

local ITEMS, LISTS = 1, 2 -- how a worker calls the function: with an item, with a list's values

-- ---- making ----

local read_options = core.options("processes:integer", "initializer:function", "initargs:table",
  "maxtasksperchild:integer", "max_memory_per_child:integer")

local function positive(value, name)
  if value and value < 1 then
    raise("ValueError", ("%s must be at least 1, got %d"):format(name, value))
  end
  return value
end

-- A pool; of an executor, whose lost tasks are called so.
function pool.make(executor, processes, initializer, initargs, maxtasks, memory)
  processes = positive(processes, "the number of processes") or core.process_cpu_count()
  positive(maxtasks, "maxtasksperchild")
  positive(memory, "max_memory_per_child")
  process.prepare_fork()
  local new = core.pool_new(processes, maxtasks or 0, memory or 0, executor)
  local enter = process.worker_maker(processes)
  core.pool_start(new, enter, initializer, initargs)
  return new
end

-- Pool([processes [, initializer [, initargs [, maxtasksperchild]]]]), or one table.
function pool.Pool(...)
  return pool.make(false, read_options(...))
end

-- ---- callbacks while the program sleeps or waits ----

local listening = setmetatable({}, {__mode = "k"}) -- pools that have had callbacks

local function expecting()
  local list
  for one in pairs(listening) do
    if core.pool_expects(one) then
      list = list or {}
      list[#list + 1] = one
    end
  end
  return list
end

local function left(stop)
  return math.max(0, stop - core.monotonic())
end

local function sleep(seconds)
  local stop = core.monotonic() + seconds
  repeat
    local list = expecting()
    if not list then return core.pause(left(stop)) end
    for _, one in ipairs(core.wait(list, left(stop))) do core.pool_take_in(one) end
  until left(stop) == 0
end

-- From now on mp.sleep and mp.connection.wait call what is due of this pool.
function pool.listen(one)
  listening[one] = true
  core.sleep_by(sleep)
end

-- core.wait, with the callbacks of all pools.
function pool.wait(list, timeout)
  local stop = timeout and core.monotonic() + timeout
  while true do
    local pools, all = expecting(), list
    if pools then
      all = table.move(list, 1, #list, 1, {})
      table.move(pools, 1, #pools, #all + 1, all)
    end
    local ready, found = core.wait(all, stop and left(stop)), {}
    local of = {}
    for _, one in ipairs(pools or {}) do of[one] = true end
    for _, thing in ipairs(ready) do
      if of[thing] then core.pool_take_in(thing) else found[#found + 1] = thing end
    end
    if #found > 0 or stop and left(stop) == 0 then return found end
  end
end

-- ---- maps ----

local Pool = core.methods "Pool"

local read_map = core.options("chunksize:integer", "callback:function", "error_callback:function",
  "timeout:seconds", "retries:integer", "progress:any")

-- The pool that the method was called for.
local function checked(self, method)
  if type(self) == "userdata" and (getmetatable(self) or {}).__name == "Pool" then return self end
  core.refuse_self(self, "Pool", method)
end

local function start_map(one, waits, form, f, seq, ...)
  local chunksize, callback, error_callback, timeout, retries, progress = read_map(...)
  local list, count = sequence.list(seq, "iterable")
  if progress then
    progress = require("multiprocessing.progress").watcher(progress)
    chunksize = chunksize or math.max(1, count // 100) -- small enough to see something move
  end
  return core.pool_map(one, f, list, count, chunksize, form, callback, error_callback, timeout, retries,
    progress or nil, waits)
end

function Pool:map_async(f, seq, ...)
  return start_map(checked(self, "map_async"), false, ITEMS, f, seq, ...)
end

function Pool:starmap_async(f, seq, ...)
  return start_map(checked(self, "starmap_async"), false, LISTS, f, seq, ...)
end

-- map(f, seq [, chunksize]): the list of what f gives for each item.
function Pool:map(f, seq, ...)
  return start_map(checked(self, "map"), true, ITEMS, f, seq, ...):get()
end

function Pool:starmap(f, seq, ...)
  return start_map(checked(self, "starmap"), true, LISTS, f, seq, ...):get()
end

-- ---- streams ----

local read_stream = core.options("chunksize:integer", "buffersize:integer", "timeout:seconds", "retries:integer",
  "progress:any")

-- The stream as a function for a loop, which tells how many results it has given.
local function watched(stream, total, tell)
  local done = 0
  return function()
    local i, value = stream()
    if not i then
      if not total then tell(done, nil, true) end
      return nil
    end
    done = done + 1
    tell(done, total)
    return i, value
  end
end

local function start_stream(one, ordered, f, seq, ...)
  local chunksize, buffersize, timeout, retries, progress = read_stream(...)
  local input, length = seq, -1
  if type(seq) ~= "function" then input, length = sequence.list(seq, "iterable") end
  local stream = core.pool_stream(one, f, input, length, chunksize, ordered, buffersize, timeout, retries)
  if not progress then return stream end
  return watched(stream, length >= 0 and length or nil, require("multiprocessing.progress").watcher(progress))
end

-- imap(f, seq [, chunksize [, buffersize]]): an iterator of index and value, in order; an iterator as
-- input is drawn from only as far ahead as the buffer goes.
function Pool:imap(f, seq, ...)
  return start_stream(checked(self, "imap"), true, f, seq, ...)
end

function Pool:imap_unordered(f, seq, ...)
  return start_stream(checked(self, "imap_unordered"), false, f, seq, ...)
end

-- apply(f [, args [, kwds]]): what f(args) gives.
function Pool:apply(...)
  return checked(self, "apply"):apply_async(...):get()
end

return pool
