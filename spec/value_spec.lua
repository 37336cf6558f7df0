-- Value, Array, RawValue, RawArray.
local helper = require "spec.helper"
local mp = require "multiprocessing"
local raised = require "spec.support.raised"
local failure = raised.failure

local function set(object, key, value)
  object[key] = value
end


describe("Value", function()
  it("begins with zero, or with what is given", function()
    assert.equal(0, mp.Value("i").value)
    assert.equal("integer", math.type(mp.Value("i").value))
    assert.equal("float", math.type(mp.Value("d").value))
    assert.equal(7, mp.Value("i", 7).value)
    assert.equal(2.5, mp.Value("d", 2.5).value)
    assert.equal("x", mp.Value("c", "x").value)
    assert.equal("\0", mp.Value("c").value)
    assert.equal("é", mp.Value("u", "é").value)
    assert.equal("\0", mp.Value("u").value)
  end)

  it("takes what its type can hold", function()
    local ranges = {b = 7, h = 15, i = 31}
    for code, bits in pairs(ranges) do
      local v = mp.Value(code)
      v.value = -(1 << bits)
      assert.equal(-(1 << bits), v.value)
      v.value = (1 << bits) - 1
      assert.equal((1 << bits) - 1, v.value)
      assert.is_true(mp.ValueError:is(failure(set, v, "value", 1 << bits)))
      assert.equal((1 << bits) - 1, v.value)
    end
    for code, bits in pairs {B = 8, H = 16, I = 32} do
      local v = mp.Value(code, (1 << bits) - 1)
      assert.equal((1 << bits) - 1, v.value)
      assert.is_true(mp.ValueError:is(failure(set, v, "value", 1 << bits)))
      assert.is_true(mp.ValueError:is(failure(set, v, "value", -1)))
    end
    for _, code in ipairs {"l", "q"} do
      assert.equal(math.mininteger, mp.Value(code, math.mininteger).value)
    end
    for _, code in ipairs {"L", "Q"} do
      assert.equal(math.maxinteger, mp.Value(code, math.maxinteger).value)
      assert.is_true(mp.ValueError:is(failure(mp.Value, code, -1)))
    end
    assert.equal(math.huge, mp.Value("f", math.huge).value)
    assert.is_true(mp.ValueError:is(failure(mp.Value, "f", 1e300)))
  end)

  it("takes a float without a fraction for an integer, and no other", function()
    local v = mp.Value("i")
    v.value = 5.0
    assert.equal("integer", math.type(v.value))
    assert.equal(5, v.value)
    local err = failure(set, v, "value", 1.5)
    assert.is_true(mp.ValueError:is(err))
    assert.matches("Value 'i': 1.5 is not an integer", err.message, 1, true)
    assert.is_true(mp.ValueError:is(failure(set, v, "value", 0 / 0)))
    assert.is_true(mp.ValueError:is(failure(set, v, "value", 2.0 ^ 70)))
    assert.equal(5, v.value)
  end)

  it("names what is of the wrong type", function()
    local v = mp.Value("i", 3)
    for _, wrong in ipairs {"5", true, {}} do
      local err = failure(set, v, "value", wrong)
      assert.is_true(mp.TypeError:is(err))
      assert.matches("Value 'i'", err.message, 1, true)
    end
    assert.is_true(mp.TypeError:is(failure(set, v, "value", nil)))
    assert.is_true(mp.TypeError:is(failure(set, mp.Value("c"), "value", "ab")))
    assert.is_true(mp.TypeError:is(failure(set, mp.Value("u"), "value", "ab")))
    assert.is_true(mp.TypeError:is(failure(set, mp.Value("u"), "value", "\xff")))
    assert.equal(3, v.value)
  end)

  it("adds, exchanges and compares atomically", function()
    local v = mp.Value("i", 5)
    assert.equal(8, v:add(3))
    assert.equal(6, v:add(-2))
    assert.equal(6, v:exchange(1))
    assert.is_false(v:compare_exchange(6, 2))
    assert.equal(1, v.value)
    assert.is_true(v:compare_exchange(1, 2))
    assert.equal(2, v.value)
    assert.is_true(mp.ValueError:is(failure(v.add, v, 2 ^ 31 - 2)))
    assert.is_true(mp.ValueError:is(failure(v.add, v, 0.5)))
    assert.is_true(mp.TypeError:is(failure(v.add, v, "1")))
    assert.equal(2, v.value)
    local unsigned = mp.Value("B", 1)
    assert.equal(0, unsigned:add(-1))
    assert.is_true(mp.ValueError:is(failure(unsigned.add, unsigned, -1)))
    assert.equal(1.5, mp.Value("d", 1):add(0.5))
    assert.is_true(mp.TypeError:is(failure(v.add, mp.Value("c", "a"), 1)))
  end)

  it("refuses what is no code, no field, no option", function()
    assert.is_true(mp.ValueError:is(failure(mp.Value, "z")))
    assert.is_true(mp.ValueError:is(failure(mp.Value, "ii")))
    assert.is_true(mp.TypeError:is(failure(mp.Value, 5)))
    for _, object in ipairs {mp.Value("i"), mp.RawValue("i"), mp.Array("i", 2), mp.RawArray("i", 2)} do
      local err = failure(set, object, "valeu", 1)
      assert.is_true(mp.TypeError:is(err))
      assert.matches('Array has no field "valeu" to write to', err.message:gsub("Value", "Array"), 1, true)
    end
    assert.is_nil(mp.Value("i").valeu)
    assert.matches("lock", failure(mp.Value, "i", 1, {lok = false}).message, 1, true)
    assert.is_true(mp.TypeError:is(failure(mp.Value, "i", 1, {lock = 7})))
  end)

  it("has no lock where none is wanted", function()
    for _, v in ipairs {mp.Value("i", 3, {lock = false}), mp.Value("i", 3, false),
                        mp.RawValue("i", 3)} do
      assert.equal(3, v.value)
      assert.equal(4, v:add(1))
      assert.is_nil(v.get_lock)
    end
    assert.equal(0, mp.Value("i", {lock = false}).value)
  end)

  it("shows its type and value", function()
    assert.matches("^Value #%d+ %('i': 5%)$", tostring(mp.Value("i", 5)))
    assert.matches("^RawValue #%d+ %('c': \"x\"%)$", tostring(mp.RawValue("c", "x")))
    local v = mp.Value("i")
    v:close()
    assert.matches("closed", tostring(v))
    assert.is_true(mp.ValueError:is(failure(function() return v.value end)))
  end)

  it("is the same without its lock, by get_obj", function()
    local v = mp.Value("i", 5)
    local raw = v:get_obj()
    raw.value = 6
    assert.equal(6, v.value)
    assert.matches("^RawValue", tostring(raw))
    v:close()
    assert.equal(7, raw:add(1))
  end)
end)

describe("Array", function()
  it("comes from a count, a list, an iterator or a string", function()
    local a = mp.Array("i", 3)
    assert.same({0, 0, 0}, a:slice())
    assert.same({1, 2, 3}, mp.Array("h", {1, 2, 3}):slice())
    local n = 0
    assert.same({0.5, 1.0, 1.5}, mp.Array("d", function()
      n = n + 1
      return n <= 3 and n / 2 or nil
    end):slice())
    assert.equal("hello", mp.Array("c", "hello").value)
    assert.equal("añb", mp.Array("u", "añb").value)
    assert.equal(3, #mp.Array("u", "añb"))
    assert.same({1, 2, 3}, mp.RawArray("q", mp.Array("b", {1, 2, 3})):slice())
    assert.equal(0, #mp.Array("i", {}))
  end)

  it("is indexed from 1; reads nil outside, refuses to write there", function()
    local a = mp.Array("i", {10, 20, 30})
    assert.equal(3, #a)
    assert.equal(10, a[1])
    assert.equal(30, a[3.0])
    for _, outside in ipairs {0, 4, -1, 1.5, math.maxinteger} do assert.is_nil(a[outside]) end
    a[2] = 21.0
    assert.equal(21, a[2])
    for _, outside in ipairs {0, 4, -1} do
      local err = failure(set, a, outside, 1)
      assert.is_true(mp.ValueError:is(err))
      assert.matches("1 to 3", err.message, 1, true)
    end
    assert.is_true(mp.ValueError:is(failure(set, a, 1, 1 << 40)))
    assert.is_true(mp.TypeError:is(failure(set, a, 1, "x")))
    assert.is_true(mp.TypeError:is(failure(set, a, "x", 1)))
    assert.same({10, 21, 30}, a:slice())
  end)

  it("can be walked through", function()
    local a = mp.Array("i", {5, 6, 7})
    for _, walk in ipairs {ipairs, pairs} do
      local seen = {}
      for i, v in walk(a) do seen[#seen + 1] = i * 10 + v end
      assert.same({15, 26, 37}, seen)
    end
  end)

  it("gives and takes slices", function()
    local a = mp.Array("i", {1, 2, 3, 4, 5})
    assert.same({2, 3}, a:slice(2, 3))
    assert.same({4, 5}, a:slice(-2))
    assert.same({1, 2, 3, 4}, a:slice(1, -2))
    assert.same({}, a:slice(4, 2))
    assert.same({1, 2, 3, 4, 5}, a:slice(-100, 100))
    a:assign(2, {20, 30})
    assert.same({1, 20, 30, 4, 5}, a:slice())
    assert.is_true(mp.ValueError:is(failure(a.assign, a, 5, {1, 2})))
    assert.is_true(mp.ValueError:is(failure(a.assign, a, 0, {1})))
    local err = failure(a.assign, a, 1, {7, 8, "x"})
    assert.is_true(mp.TypeError:is(err))
    assert.matches("element 3", err.message, 1, true)
    assert.same({1, 20, 30, 4, 5}, a:slice())
    assert.equal("ell", mp.Array("c", "hello"):slice(2, 4))
  end)

  it("of characters is a string: value to the first zero, raw whole", function()
    local s = mp.Array("c", 8)
    s.value = "hello"
    assert.equal("hello", s.value)
    assert.equal("hello\0\0\0", s.raw)
    s.value = "hi"
    assert.equal("hi", s.value)
    assert.equal("hi\0lo\0\0\0", s.raw)
    s.value = "12345678"
    assert.equal("12345678", s.value)
    s.raw = "ab"
    assert.equal("ab345678", s.raw)
    assert.equal("b", s[2])
    assert.is_true(mp.ValueError:is(failure(set, s, "value", "123456789")))
    assert.is_true(mp.TypeError:is(failure(set, s, "value", 5)))
    assert.is_nil(mp.Array("i", 1).value)
    assert.is_true(mp.TypeError:is(failure(set, mp.Array("i", 1), "value", "x")))
  end)

  it("shows what is in it", function()
    assert.matches("^Array #%d+ %('i': 1, 2, 3%)$", tostring(mp.Array("i", {1, 2, 3})))
    assert.matches("... 1000 in all", tostring(mp.Array("i", 1000)), 1, true)
    assert.matches("^RawArray #%d+ %('c': \"hello\"%)$", tostring(mp.RawArray("c", "hello")))
  end)

  it("refuses a list that does not fit, a negative count, too many", function()
    local err = failure(mp.Array, "b", {1, 2, 300})
    assert.is_true(mp.ValueError:is(err))
    assert.matches("Array 'b', element 3: 300 is out of its range, -128 to 127", err.message, 1, true)
    assert.is_true(mp.ValueError:is(failure(mp.Array, "i", -1)))
    assert.is_true(mp.TypeError:is(failure(mp.Array, "i")))
    assert.is_true(mp.TypeError:is(failure(mp.Array, "i", true)))
    assert.is_true(mp.MemoryError:is(failure(mp.Array, "d", 1 << 50)))
  end)

  it("leaves nothing behind", function()
    local function left()
      collectgarbage()
      collectgarbage()
      return mp.stats().objects
    end
    local before = left()
    for i = 1, 100 do
      local v <close> = mp.Value("i", i)
      local a <close> = mp.Array("d", 10)
      v:get_obj().value = #a
      pcall(mp.Array, "b", {i, 1000})
    end
    assert.same(before, left())
    assert.is_true(mp.check())
  end)
end)

describe("the lock of a Value or Array", function()
  -- Another process that adds to v while this one holds its lock.
  local function held_against(v, change, look)
    local up, ready = mp.Pipe()
    local p = mp.Process {target = function(value, c)
      c:send(true)
      change(value)
    end, args = {v, ready}}
    v:get_lock():with(function()
      p:start()
      up:recv()
      assert.is_false(p:join(0.1))
      assert.equal(0, look(v)) -- its holder is not held up
    end)
    assert.is_true(p:join(helper.LIMIT))
    p:close()
    up:close()
    ready:close()
  end

  it("keeps other processes' writes and reads out", function()
    local changes = {
      function(v) v.value = 5 end, function(v) v:add(5) end, function(v) v:exchange(5) end,
      function(v) v:compare_exchange(0, 5) end, function(v) if v.value == 0 then v:add(5) end end,
    }
    for _, change in ipairs(changes) do
      local v = mp.Value("i")
      held_against(v, change, function(x) return x.value end)
      assert.equal(5, v.value)
    end
    for _, change in ipairs {function(a) a[2] = 5 end, function(a) a:assign(2, {5}) end,
                             function(a) a[2] = #a:slice() + 3 end} do
      local a = mp.Array("i", 2)
      held_against(a, change, function(x) return x[2] end)
      assert.equal(5, a[2])
    end
  end)

  it("is not in the way of who goes round it", function()
    local v = mp.Value("i")
    local p = mp.Process {target = function(value) value:get_obj().value = 5 end, args = {v}}
    v:get_lock():with(function()
      p:start()
      assert.is_true(p:join(helper.LIMIT))
    end)
    p:close()
    assert.equal(5, v.value)
  end)

  it("is one object, an RLock, or the one that was given", function()
    local v = mp.Value("i")
    assert.is_true(v:get_lock() == v:get_lock())
    assert.matches("^RLock", tostring(v:get_lock()))
    v:get_lock():with(function() v:get_lock():with(function() v.value = 3 end) end)
    local lock = mp.Lock()
    local a, b = mp.Array("i", 1, {lock = lock}), mp.Value("d", 0, lock)
    assert.is_true(a:get_lock() == lock and b:get_lock() == lock)
    lock:with(function() a[1] = 7 b.value = 8 end)
    assert.is_false(lock:locked())
  end)

  it("counts without losing, the plain way too", function()
    local v, n = mp.Value("i"), 500
    local workers = {}
    for i = 1, 3 do
      workers[i] = mp.Process {target = function(value)
        for _ = 1, n do
          value:add(1)
          value:get_lock():with(function() value.value = value.value + 1 end)
        end
      end, args = {v}}
      workers[i]:start()
    end
    for _, p in ipairs(workers) do
      assert.is_true(p:join(helper.LIMIT))
      p:close()
    end
    assert.equal(3 * 2 * n, v.value)
  end)

  it("of a dead holder is free, and who acquires it is told, not who reads", function()
    local v = mp.Value("i", 4)
    local up, ready = mp.Pipe()
    local p = mp.Process {target = function(value, c)
      value:get_lock():acquire()
      c:send(true)
      mp.sleep(60)
    end, args = {v, ready}}
    p:start()
    up:recv()
    p:kill()
    assert.equal(4, v.value)
    v.value = 5
    local ok, how = v:get_lock():acquire()
    assert.is_true(ok)
    assert.equal("abandoned", how)
    v:get_lock():release()
    p:join()
    p:close()
    up:close()
    ready:close()
  end)
end)
