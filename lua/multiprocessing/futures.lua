-- multiprocessing.futures: Python's concurrent.futures on pools. An executor is a pool of its own; a
-- Future is what waits for one of its tasks (src/binding/async_result.c).
local class = require "multiprocessing.class"
local core = require "multiprocessing.core"
local ending = require "multiprocessing.ending"
local errors = require "multiprocessing.errors"
local log = require "multiprocessing.log"
local sequence = require "multiprocessing.sequence"

local raise = core.raise

local futures = {
  BrokenProcessPool = errors.BrokenProcessPool, CancelledError = errors.CancelledError,
  TimeoutError = errors.TimeoutError, InvalidStateError = errors.ProcessError,
  FIRST_COMPLETED = "FIRST_COMPLETED", FIRST_EXCEPTION = "FIRST_EXCEPTION", ALL_COMPLETED = "ALL_COMPLETED",
}

-- ---- what a Future has beside ----

local Future = core.methods "Future"

local told = setmetatable({}, {__mode = "k"}) -- future -> the functions to call at its end

local function call(f, future)
  local ok, err = pcall(f, future)
  if ok then return end
  if core.is_interruption(err) then error(err, 0) end
  log.get_logger():error("exception calling callback for " .. tostring(future) .. ": " .. tostring(err))
end

local function tell(future)
  local list = told[future]
  told[future] = nil
  for _, f in ipairs(list) do call(f, future) end
end

-- f(future) is called when the future is over, at once if it is; see "Callbacks" for when that can be.
function Future:add_done_callback(f)
  if type(f) ~= "function" and not (getmetatable(f) or {}).__call then
    raise("TypeError", "fn must be a function, got " .. core.show(f))
  end
  local list = told[self]
  if list then
    list[#list + 1] = f
  elseif core.result_tell(self, tell) then
    told[self] = {f}
    ending.keep()
  else
    call(f, self)
  end
end

-- ---- waiting for many ----

local function left(stop)
  return stop and math.max(0, stop - core.monotonic())
end

-- The list, and the index of its last value, unless n says how many there are: a hole is not its end.
local function whole(fs)
  local list, last = sequence.list(fs, "fs")
  if math.tointeger(list.n) then return list, last end
  for key in next, list do
    if math.type(key) == "integer" and key > last then last = key end
  end
  return list, last
end

-- The list without what it has twice.
local function check(fs)
  if type(fs) ~= "table" then raise("TypeError", "fs must be a list of futures, got " .. core.show(fs)) end
  local seen, unique = {}, {}
  local list, last = whole(fs)
  for i = 1, last do
    local future = list[i]
    if type(future) ~= "userdata" or (getmetatable(future) or {}).__name ~= "Future" then
      raise("TypeError", ("fs[%d] must be a Future, got %s"):format(i, core.show(future)))
    end
    if not seen[future] then unique[#unique + 1] = future end
    seen[future] = true
  end
  return unique
end

-- Splits into those that are over and the others.
local function sort_out(list)
  local done, open = {}, {}
  for _, future in ipairs(list) do
    local to = future:done() and done or open
    to[#to + 1] = future
  end
  return done, open
end

-- Waits until one of the open futures, which there must be, may be over. False: the time is up.
local function step(open, stop)
  local one = core.result_pool(open[1])
  for i = 2, #open do
    if core.result_pool(open[i]) ~= one then
      return #require("multiprocessing.connection").wait(open, left(stop)) > 0
    end
  end
  return core.result_step(open[1], left(stop))
end

-- Calls the callbacks that are due of what is over, among them.
local function call_back(list)
  local last
  for i = 1, next(told) and #list or 0 do
    local pool = core.result_pool(list[i])
    if pool ~= last and core.pool_is_ours(pool) then core.pool_take_in(pool) end
    last = pool
  end
end

local WHEN = {FIRST_COMPLETED = true, FIRST_EXCEPTION = true, ALL_COMPLETED = true}

local function is_enough(done, when)
  if when == "FIRST_COMPLETED" then return #done > 0 end
  if when == "ALL_COMPLETED" then return false end
  for _, future in ipairs(done) do
    if not future:cancelled() and future:exception(0) ~= nil then return true end
  end
  return false
end

local read_wait = core.options("timeout:seconds", "return_when:string")

-- wait(fs [, timeout [, return_when]]): the futures that are over, and the others.
function futures.wait(list, ...)
  list = check(list)
  local timeout, when = read_wait(...)
  when = when or "ALL_COMPLETED"
  if not WHEN[when] then raise("ValueError", "Invalid return condition: " .. core.show(when)) end
  local stop = timeout and core.monotonic() + timeout
  while true do
    local done, open = sort_out(list)
    if #open == 0 or is_enough(done, when) or not step(open, stop) then break end
  end
  local _, open = sort_out(list)
  local done, before
  repeat -- a result may come in between: who is said to be over has been told of
    before = #open
    call_back(list)
    done, open = sort_out(list)
  until #open == before
  return done, open
end

local read_completed = core.options "timeout:seconds"

-- as_completed(fs [, timeout]): an iterator over the futures as they end.
function futures.as_completed(list, ...)
  list = check(list)
  local timeout = read_completed(...)
  local stop = timeout and core.monotonic() + timeout
  local done, open = sort_out(list)
  local given, count = 0, #list
  return function()
    while given >= #done do
      if #open == 0 then return call_back(list) end
      if not step(open, stop) then
        raise("TimeoutError", ("%d (of %d) futures unfinished"):format(#open, count))
      end
      done, open = sort_out(open)
      given = 0
    end
    given = given + 1
    return done[given]
  end
end

-- ---- the end ----

-- Pools of executors that may still work, whether somebody has the executor or not.
local working = {}

local function forget_ended()
  for pool in pairs(working) do
    if not core.pool_is_ours(pool) or core.pool_is_over(pool) then working[pool] = nil end
  end
end

-- At the end of this process's program: waits until all that was submitted is done, and calls what is
-- due. Ctrl-C ends that.
local function finish(interrupted)
  forget_ended()
  local list = {}
  for pool in pairs(working) do list[#list + 1] = pool end
  local function each(f)
    for _, pool in ipairs(list) do f(pool) end
  end
  if #list == 0 then return end
  each(interrupted and list[1].terminate or core.pool_part)
  local ok, err = pcall(each, core.pool_finish)
  if ok then return end
  each(list[1].terminate)
  error(err, 0)
end

ending.add(finish)

-- ---- executors ----

local Executor = class:extend("ProcessPoolExecutor")
futures.ProcessPoolExecutor = Executor

local read_executor = core.options("max_workers:integer", "initializer:function", "initargs:table",
  "max_tasks_per_child:integer")

-- ProcessPoolExecutor([max_workers [, initializer [, initargs [, max_tasks_per_child]]]]), or one table.
function Executor:init(...)
  local workers, initializer, initargs, tasks = read_executor(...)
  if workers and workers < 1 then raise("ValueError", "max_workers must be greater than 0") end
  if tasks and tasks < 1 then raise("ValueError", "max_tasks_per_child must be >= 1") end
  forget_ended()
  self.pool = require("multiprocessing.pool").make(true, workers, initializer, initargs, tasks)
  working[self.pool] = true
  ending.keep()
end

local function pool_of(self, method)
  return type(self) == "table" and rawget(self, "pool") or core.refuse_self(self, "ProcessPoolExecutor", method)
end

-- submit(f, ...): a Future for f(...).
function Executor:submit(f, ...)
  return core.pool_submit(pool_of(self, "submit"), f, ...)
end

local read_map = core.options("timeout:seconds", "chunksize:integer", "buffersize:integer")

-- map(f, seq [, {timeout =, chunksize =, buffersize =}]): an iterator of index and result, in order.
-- The timeout counts from the call.
function Executor:map(f, seq, ...)
  local pool = pool_of(self, "map")
  local timeout, chunksize, buffersize = read_map(...)
  local stop = timeout and core.monotonic() + timeout
  local results = pool:imap(f, type(seq) == "function" and seq or (sequence.list(seq, "iterable")),
    {chunksize = chunksize, buffersize = buffersize})
  if not stop then return results end
  return function() return results:next(left(stop)) end
end

local read_shutdown = core.options("wait:boolean", "cancel_futures:boolean")

-- shutdown([wait [, cancel_futures]]): no more work is taken; by default, waits until all is done.
function Executor:shutdown(...)
  local pool = pool_of(self, "shutdown")
  local wait, cancel = read_shutdown(...)
  if not self.closed then
    self.closed = true
    pool:close()
  end
  if cancel then core.pool_cancel_waiting(pool) end
  if wait ~= false then
    pool:join()
    working[pool] = nil
  end
end

-- Ends the workers now, by SIGTERM or by SIGKILL: what is open fails with BrokenProcessPool.
local function ender(method, end_workers)
  return function(self)
    local pool = pool_of(self, method)
    self.closed = true
    end_workers(pool)
    working[pool] = nil
  end
end

Executor.terminate_workers = ender("terminate_workers", core.methods("Pool").terminate)
Executor.kill_workers = ender("kill_workers", core.pool_kill)

-- The end of a scope waits; by Ctrl-C it ends all, and calls nobody back.
Executor.__close = function(self, err)
  if not core.is_interruption(err) then return self:shutdown() end
  self.closed = true
  local _ <close> = self.pool
end

-- What was submitted is done, also when nobody has the executor any more.
Executor.__gc = function(self)
  if self.pool and not self.closed and core.pool_is_ours(self.pool) then self.pool:close() end
end

Executor.__tostring = function(self)
  return ("ProcessPoolExecutor (%s)"):format(self.closed and "shut down" or tostring(self.pool))
end

return futures
