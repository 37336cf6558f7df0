-- multiprocessing: Python's multiprocessing for Lua. The public names; each is loaded when it is
-- first asked for.
local core = require "multiprocessing.core"
core.home()
require "multiprocessing.errors" -- now: the error may be that no file can be opened

local mp = {_VERSION = "multiprocessing 0.1"}

-- name -> the module of lua/multiprocessing/ that has it. "core" is the C part.
local home = {}

-- Names that are modules themselves.
local whole = {connection = true, futures = true}

local function names(module, list)
  for name in list:gmatch("%S+") do home[name] = module end
end

names("core", [[sleep time monotonic getpid getppid cpu_count process_cpu_count set_memory_limit
  stats check dump encode decode register_class register_userdata]])
names("errors", [[Error Empty Full ShutDown TimeoutError EOFError BrokenPipeError OSError ValueError
  TypeError ProcessError BufferTooShort AuthenticationError BrokenBarrierError WorkerLostError
  CancelledError RemoteError MemoryError SerializationError]])
names("core", "Value RawValue Array RawArray Queue JoinableQueue SimpleQueue Pipe")
names("core", "Lock RLock Semaphore BoundedSemaphore Event Condition Barrier")
names("process", "Process current_process parent_process active_children fork freeze_support")
names("pool", "Pool")
names("context", "get_context get_start_method set_start_method get_all_start_methods")
names("sequence", "range")
names("repr", "repr")
names("log", "get_logger log_to_stderr")

return setmetatable(mp, {__index = function(_, name)
  local module = whole[name] and name or home[name]
  if not module then return nil end
  local value = require("multiprocessing." .. module)
  if not whole[name] then value = value[name] end
  mp[name] = value
  return value
end})
