-- Barrier.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local sync = require "spec.support.sync"
local start, finish, kill, raised = sync.start, sync.finish, sync.kill, sync.raised

after_each(sync.check)

-- A process that waits at the barrier and expects this: a kind of error, or nil for a number.
local function party(barrier, kind)
  return start(function(b, k)
    local ok, what = pcall(b.wait, b)
    if k then assert(not ok and mp[k]:is(what), tostring(what)) else assert(ok, tostring(what)) end
  end, barrier, kind)
end

local function await(barrier, n)
  helper.eventually(function() return barrier.n_waiting == n end)
end

describe("a Barrier", function()
  it("says how it is", function()
    local barrier = mp.Barrier(3)
    assert.equal(3, barrier.parties)
    assert.equal(0, barrier.n_waiting)
    assert.is_false(barrier.broken)
    assert.is_nil(barrier.other)
    assert.matches("Barrier #%d+ %(0 of 3 waiting%)", tostring(barrier))
  end)

  it("lets nobody pass before the last has come, and gives each another number", function()
    local barrier, arrived, numbers = mp.Barrier(3), mp.Value("i", 0), mp.Array("i", 3)
    local function go(b, a, n)
      for round = 1, 50 do
        a:add(1)
        local i = b:wait(helper.LIMIT)
        assert(a.value >= round * 3)
        n:get_lock():with(function() n[i] = n[i] + 1 end)
      end
    end
    local list = {}
    for i = 1, 3 do list[i] = start(go, barrier, arrived, numbers) end
    for _, p in ipairs(list) do finish(p) end
    assert.same({50, 50, 50}, numbers:slice())
  end)

  it("breaks by a timeout, until it is reset", function()
    local barrier = mp.Barrier(3)
    local p = party(barrier, "BrokenBarrierError")
    await(barrier, 1)
    sync.takes(0.1, function() raised("BrokenBarrierError", "broken", barrier.wait, barrier, 0.1) end)
    finish(p)
    assert.is_true(barrier.broken)
    assert.matches("broken", tostring(barrier), 1, true)
    raised("BrokenBarrierError", "broken", barrier.wait, barrier)
    barrier:reset()
    assert.is_false(barrier.broken)
    local list = {party(barrier), party(barrier)}
    assert.is_true(barrier:wait(helper.LIMIT) <= 3)
    for _, one in ipairs(list) do finish(one) end
  end)

  it("is reset and aborted under those who wait", function()
    local barrier = mp.Barrier(2)
    local p = party(barrier, "BrokenBarrierError")
    await(barrier, 1)
    barrier:reset()
    finish(p)
    assert.is_false(barrier.broken)
    p = party(barrier, "BrokenBarrierError")
    await(barrier, 1)
    barrier:abort()
    finish(p)
    assert.is_true(barrier.broken)
  end)

  it("breaks when a party dies inside", function()
    local barrier = mp.Barrier(3)
    local victim, survivor = party(barrier), party(barrier, "BrokenBarrierError")
    await(barrier, 2)
    kill(victim)
    finish(survivor)
    assert.is_true(barrier.broken)
  end)

  it("runs its action once, before anybody passes", function()
    local runs = mp.Value("i", 0)
    local barrier = mp.Barrier(2, function() runs:add(1) end)
    local p = start(function(b)
      for round = 1, 20 do
        b:wait()
        assert(runs.value >= round)
      end
    end, barrier)
    for round = 1, 20 do
      barrier:wait(helper.LIMIT)
      assert.is_true(runs.value >= round)
    end
    finish(p)
    assert.equal(20, runs.value)
  end)

  it("breaks when its action fails, and the party that ran it gets the error", function()
    local thing = {}
    local barrier = mp.Barrier(2, function() error(thing) end)
    local p = party(barrier, "BrokenBarrierError")
    await(barrier, 1)
    local ok, err = pcall(barrier.wait, barrier)
    assert.is_false(ok)
    assert.equal(thing, err)
    finish(p)
    assert.is_true(barrier.broken)
  end)

  it("does not wait for itself in its action", function()
    local barrier
    barrier = mp.Barrier(1, function() barrier:wait() end)
    raised("ProcessError", "its barrier", barrier.wait, barrier)
    assert.is_true(barrier.broken)
  end)

  it("has a timeout of its own", function()
    local barrier = mp.Barrier {parties = 2, timeout = 0.1}
    sync.takes(0.1, function() raised("BrokenBarrierError", "broken", barrier.wait, barrier) end)
    barrier:reset()
    sync.takes(0.2, function() raised("BrokenBarrierError", "broken", barrier.wait, barrier, 0.2) end)
  end)

  it("travels with its action and its timeout", function()
    local runs, q = mp.Value("i", 0), mp.Queue()
    q:put(mp.Barrier(1, function() runs:add(1) end, 0.1))
    collectgarbage()
    local barrier = q:get()
    assert.equal(1, barrier:wait())
    assert.equal(1, runs.value)
    q:put(mp.Barrier(2, nil, 0.1))
    barrier = q:get()
    sync.takes(0.1, function() raised("BrokenBarrierError", "broken", barrier.wait, barrier) end)
  end)

  it("keeps an action that cannot travel with those who were forked", function()
    local thread, q = coroutine.create(print), mp.Queue()
    local ran = 0
    local barrier = mp.Barrier(1, function()
      assert(coroutine.status(thread) == "suspended")
      ran = ran + 1
    end)
    assert.equal(1, barrier:wait())
    assert.equal(1, ran)
    finish(start(function() assert(barrier:wait() == 1 and ran == 2) end))
    q:put(barrier)
    local same = q:get()
    assert.equal(barrier, same)
    if not rawequal(barrier, same) then raised("ProcessError", "could not come here", same.wait, same) end
  end)

  it("refuses what makes no sense", function()
    raised("ValueError", "0", mp.Barrier, 0)
    raised("TypeError", "integer", mp.Barrier)
    raised("TypeError", "action", mp.Barrier, 1, 5)
    raised("TypeError", "timeout", mp.Barrier, 1, nil, "x")
    raised("TypeError", "parties", mp.Barrier, {partys = 2})
  end)
end)
