-- Shows:  a checksum of every file below a folder, in parallel, with a line that tells the progress
-- Run:    lua5.4 examples/14_directory_hash.lua [folder]      (without one: this folder, and no line)
-- Prints: the same checksum from a pool and from one process
local mp = require "multiprocessing"

local function files_below(folder)
  local find <close> = assert(io.popen(("find '%s' -type f | LC_ALL=C sort"):format(folder)))
  local list = {}
  for path in find:lines() do list[#list + 1] = path end
  return list
end

-- FNV-1a, 64 bits.
local function checksum(path)
  local hash = 0xcbf29ce484222325
  local file = io.open(path, "rb")
  if not file then return 0 end
  for block in file:lines(65536) do
    for i = 1, #block do hash = (hash ~ block:byte(i)) * 0x100000001b3 end
  end
  file:close()
  return hash
end

local function combined(sums)
  local all = 0
  for _, sum in ipairs(sums) do all = all * 31 + sum end
  return all
end

local files = files_below(arg[1] or arg[0]:match("^(.*)/[^/]*$") or ".")
local pool <close> = mp.Pool()
local parallel = combined(pool:map(checksum, files, {progress = arg[1] and "hashing"}))

local alone = {}
for i, path in ipairs(files) do alone[i] = checksum(path) end
assert(parallel == combined(alone))
print("the same checksum from a pool and from one process")
