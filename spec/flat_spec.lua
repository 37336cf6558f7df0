-- What is used is given back: the arena's use does not grow with what has passed through it.
local helper = require "spec.helper"
local mp = require "multiprocessing"

local function bytes()
  collectgarbage()
  collectgarbage()
  return mp.stats().bytes
end

describe("the arena's use is flat", function()
  it("over ten million messages through one queue", function()
    local count = math.floor(10000000 / helper.SLOW) -- fewer where the run is told to be slow
    local queue = mp.Queue(1000)
    local producer = mp.Process{target = function()
      for i = 1, count do queue:put(i) end
    end}
    producer:start()
    for i = 1, 1000 do assert.equal(i, queue:get()) end
    local before = bytes()
    local sum = 0
    for _ = 1001, count do sum = sum + queue:get() end
    assert.equal(count * (count + 1) // 2 - 1000 * 1001 // 2, sum)
    assert.is_true(producer:join(helper.LIMIT))
    assert.is_true(bytes() - before <= 65536, bytes() - before .. " bytes more than before")
    assert.is_true(mp.check())
  end)

  it("over a hundred thousand queues made and dropped", function()
    local keep = mp.Queue()
    for _ = 1, 1000 do mp.Queue(10):put("something") end
    local before, objects = bytes(), mp.stats().objects
    for _ = 1, 100000 do mp.Queue(10):put("something") end
    assert.is_true(bytes() - before <= 65536, bytes() - before .. " bytes more than before")
    assert.same(objects, mp.stats().objects)
    assert.is_true(mp.check())
    keep:close()
  end)

  it("over large messages, which go back to the system", function()
    local queue = mp.Queue()
    queue:put(("x"):rep(100))
    queue:get()
    local before = bytes()
    local text = ("x"):rep(1 << 20)
    for _ = 1, 200 do queue:put(text) end
    assert.is_true(bytes() - before >= 200 << 20)
    for _ = 1, 200 do assert.equal(1 << 20, #queue:get()) end
    assert.is_true(bytes() - before <= 65536, bytes() - before .. " bytes more than before")
    assert.is_true(mp.check())
  end)
end)
