-- Pipe and Connection.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local raised = require "spec.support.raised"
local sync = require "spec.support.sync"
local failure, start, finish = raised.failure, sync.start, sync.finish

-- Pipes that end with the test.
local open = {}
local function pipe(...)
  local a, b = mp.Pipe(...)
  table.insert(open, a)
  table.insert(open, b)
  return a, b
end
local function close_all()
  while #open > 0 do table.remove(open):close() end
end

describe("a pipe", function()
  after_each(close_all)

  it("carries values both ways, whole and in order", function()
    local a, b = pipe()
    for _, v in ipairs {1, 2.5, "text", true, {1, {2}}, {x = "y"}, ("x"):rep(100000)} do
      a:send(v)
      assert.same(v, b:recv())
      b:send(v)
      assert.same(v, a:recv())
    end
    for i = 1, 100 do a:send(i) end
    for i = 1, 100 do assert.equal(i, b:recv()) end
    a:send(nil)
    assert.is_nil(b:recv())
    assert.equal("integer", math.type((function() a:send(7) return b:recv() end)()))
    assert.equal("float", math.type((function() a:send(7.0) return b:recv() end)()))
  end)

  it("of one way reads at the first end and writes at the second", function()
    for _, make in ipairs {function() return pipe(false) end,
                           function() return pipe {duplex = false} end} do
      local r, w = make()
      assert.is_true(r.readable and not r.writable)
      assert.is_true(w.writable and not w.readable)
      w:send("x")
      assert.equal("x", r:recv())
      for _, call in ipairs {"send", "send_bytes"} do
        local err = failure(r[call], r, "x")
        assert.is_true(mp.OSError:is(err))
        assert.equal("connection is read-only", err.message)
      end
      for _, call in ipairs {"recv", "recv_bytes", "poll"} do
        local err = failure(w[call], w)
        assert.is_true(mp.OSError:is(err))
        assert.equal("connection is write-only", err.message)
      end
    end
    assert.is_true(mp.TypeError:is(failure(mp.Pipe, 1)))
    assert.is_true(mp.TypeError:is(failure(mp.Pipe, {dublex = true})))
  end)

  it("carries bytes, and plain values as MessagePack", function()
    local a, b = pipe()
    a:send_bytes("hello")
    assert.equal("hello", b:recv_bytes())
    for _, case in ipairs {{"hello", 2, 4, "ell"}, {"hello", 2, nil, "ello"}, {"hello", -3, -2, "ll"},
                           {"hello", 4, 2, ""}, {"", 1, 1, ""}, {"hello", -9, 99, "hello"}} do
      a:send_bytes(case[1], case[2], case[3])
      assert.equal(case[4], b:recv_bytes())
    end
    a:send {1, "two"}
    assert.equal(mp.encode {1, "two"}, b:recv_bytes())
    a:send_bytes(mp.encode {1, "two"})
    assert.same({1, "two"}, b:recv())
    a:send_bytes("\xc1")
    assert.is_true(mp.SerializationError:is(failure(b.recv, b)))
    assert.is_false(b:poll())
    assert.is_true(mp.TypeError:is(failure(a.send_bytes, a, 5)))
    assert.is_true(mp.TypeError:is(failure(a.send_bytes, a, "x", "y")))
  end)

  it("leaves a message that is too long", function()
    local a, b = pipe()
    for _, text in ipairs {"four", ("long"):rep(100)} do
      a:send_bytes(text)
      local err = failure(b.recv_bytes, b, #text - 1)
      assert.is_true(mp.BufferTooShort:is(err))
      assert.equal(text, b:recv_bytes(#text))
    end
    assert.is_true(mp.ValueError:is(failure(b.recv_bytes, b, -1)))
  end)

  it("polls: not waiting, for a time, or for ever", function()
    local a, b = pipe()
    assert.is_false(b:poll())
    local begun = mp.monotonic()
    assert.is_false(b:poll(0.1))
    local took = mp.monotonic() - begun
    assert.is_true(took >= 0.1 and took < 0.1 + helper.TOLERANCE)
    a:send(1)
    assert.is_true(b:poll())
    assert.is_true(b:poll(math.huge))
    assert.equal(1, b:recv())
    local p = start(function(c) mp.sleep(0.05) c:send("late") end, a)
    assert.is_true(b:poll(math.huge))
    assert.equal("late", b:recv())
    finish(p)
  end)

  it("ends when the other end is closed, after what was sent", function()
    local a, b = pipe()
    b:send("last")
    b:close()
    b:close()
    assert.is_true(b.closed)
    assert.is_true(a:poll())
    assert.equal("last", a:recv())
    assert.is_true(a:poll())
    for _, call in ipairs {"recv", "recv_bytes"} do
      local err = failure(a[call], a)
      assert.is_true(mp.EOFError:is(err))
      assert.is_true(mp.OSError:is(err))
    end
    for _, call in ipairs {"send", "send_bytes"} do
      assert.is_true(mp.BrokenPipeError:is(failure(a[call], a, "x")))
    end
    for _, call in ipairs {"send", "recv", "poll", "send_bytes", "recv_bytes"} do
      local err = failure(b[call], b, "x")
      assert.is_true(mp.OSError:is(err))
      assert.equal("handle is closed", err.message)
    end
  end)

  it("refuses what cannot be sent, and nothing is sent", function()
    local a, b = pipe()
    assert.is_true(mp.SerializationError:is(failure(a.send, a, coroutine.create(print))))
    assert.is_true(mp.TypeError:is(failure(a.send, a)))
    assert.is_false(b:poll())
  end)

  it("says what it is", function()
    local a, b = pipe(false)
    assert.matches("^Connection #%d+ %(read%-only%)$", tostring(a))
    assert.matches("^Connection #%d+ %(write%-only%)$", tostring(b))
    b:close()
    assert.matches("closed", tostring(b))
    assert.is_nil(a.no_such_field)
  end)
end)

describe("a connection in two processes", function()
  after_each(close_all)

  it("answers", function()
    local here, there = pipe()
    local p = start(function(c)
      while true do
        local v = c:recv()
        if v == nil then break end
        c:send(v * 2)
      end
    end, there)
    there:close()
    for i = 1, 100 do
      here:send(i)
      assert.equal(2 * i, here:recv())
    end
    here:send(nil)
    finish(p)
    assert.is_true(mp.EOFError:is(failure(here.recv, here)))
  end)

  it("holds back a sender that is ahead, and lets a large message pass", function()
    local r, w = pipe(false)
    local p = start(function(c)
      for i = 1, 20000 do c:send(i) end
      c:send(("x"):rep(1 << 20))
      c:close()
    end, w)
    w:close()
    helper.sleep(0.05)
    for i = 1, 20000 do assert.equal(i, r:recv()) end
    assert.equal(1 << 20, #r:recv())
    assert.is_true(mp.EOFError:is(failure(r.recv, r)))
    finish(p)
  end)

  it("travels through another connection", function()
    local here, there = pipe()
    local p = start(function(c)
      local reply = c:recv()
      reply:send("through " .. tostring(reply.writable))
    end, there)
    there:close()
    local r, w = pipe(false)
    here:send(w)
    w:close()
    assert.equal("through true", r:recv())
    finish(p)
    assert.is_true(mp.EOFError:is(failure(r.recv, r)))
  end)

  it("is closed by a kill", function()
    local here, there = pipe()
    local p = start(function(c) c:send("up") mp.sleep(60) end, there)
    there:close()
    assert.equal("up", here:recv())
    p:kill()
    local begun = mp.monotonic()
    assert.is_true(mp.EOFError:is(failure(here.recv, here)))
    assert.is_true(mp.monotonic() - begun < 1 * helper.SLOW)
    assert.is_true(mp.BrokenPipeError:is(failure(here.send, here, 1)))
    finish(p, -9)
  end)

  it("leaves nothing behind", function()
    local function left()
      collectgarbage()
      collectgarbage()
      return mp.stats().objects
    end
    local before = left()
    for _ = 1, 20 do
      local a <close>, b = mp.Pipe()
      a:send {a, "unread"}
      b:send(("x"):rep(1000))
      b:close()
    end
    assert.same(before, left())
    assert.is_true(mp.check())
  end)
end)
