-- Tutorial 004-10: ten people race for one ticket in a file; a Lock guards the purchase.
-- Run:    lua5.4 examples/tutorial/004-10_tickets.lua [file]      (the default is db.json)
-- Prints: ten times that one ticket is left, and one 购票成功.
local mp = require "multiprocessing"
local Process, Lock = mp.Process, mp.Lock
local SECOND = tonumber(os.getenv "SECOND") or 1

local DB = arg[1] or "db.json"

-- The two calls of Python's json module that the tutorial uses, for this file's one field.
local json = {}

function json.load(path)
  local f <close> = assert(io.open(path, "r"))
  return {count = math.tointeger(f:read("a"):match('"count":%s*(%d+)'))}
end

function json.dump(dic, path)
  local f <close> = assert(io.open(path, "w"))
  f:write(('{"count": %d}\n'):format(dic.count))
end

local function search(name)
  mp.sleep(1 * SECOND)
  local dic = json.load(DB)
  print(("<%s> 查看到剩余票数【%s】"):format(name, dic.count))
end

local function get(name)
  -- mp.sleep(1 * SECOND)
  local dic = json.load(DB)
  if dic.count > 0 then
    dic.count = dic.count - 1
    mp.sleep(1 * SECOND)
    json.dump(dic, DB)
    print(("<%s> 购票成功"):format(name))
  end
end

local function task(name, mutex)
  search(name)
  mutex:acquire()
  get(name)
  mutex:release()
end

json.dump({count = 1}, DB) -- 这个db.json是一个{"count":1}
local mutex = Lock()
for i = 0, 9 do
  local p = Process{target = task, args = {("路人%s"):format(i), mutex}}
  p:start()
end
