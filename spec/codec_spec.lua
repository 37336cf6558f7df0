-- Lua values to bytes and back: what crosses, as what bytes, what is refused and why.
local helper = require "spec.helper"
local codec = require "spec.support.codec"
local through, failure = codec.through, codec.failure

local function same(value, mode)
  local back = through(value, mode)
  assert.is_nil(codec.differ(value, back) or nil)
  return back
end

local function bytes(value, mode)
  local s = codec.encode(mode or codec.DATA, "value", value)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function from_hex(s)
  return (s:gsub("%s", ""):gsub("..", function(x) return string.char(tonumber(x, 16)) end))
end

local function decoded(hex, mode)
  return codec.decode(mode or codec.DATA, from_hex(hex))
end

local function refused(expected, value, mode)
  local kind, message = failure(codec.encode, mode or codec.FULL, "value", value)
  assert.equal("SerializationError", kind)
  assert.equal(expected, message)
end

local function malformed(expected, hex, mode)
  local kind, message = failure(decoded, hex, mode)
  assert.equal("SerializationError", kind)
  assert.equal("bad message at " .. expected, message)
end

describe("scalars", function()
  it("keep their types and values", function()
    same(nil)
    same(true)
    same(false)
    for _, n in ipairs {0, 1, 31, 32, 127, 128, 255, 256, 65535, 65536, 2^31, 2^32, 2^53, 1 << 40} do
      for _, d in ipairs {-1, 0, 1} do
        same(math.tointeger(n) + d)
        same(-math.tointeger(n) + d)
        same(n + d + 0.0)
      end
    end
    for _, n in ipairs {math.maxinteger, math.mininteger, 0.5, -0.0, math.huge, -math.huge, 0/0, 5e-324} do
      same(n)
    end
    assert.equal(-math.huge, 1 / through(-0.0))
  end)

  it("take MessagePack's shortest form; floats stay floats", function()
    assert.equal("7f", bytes(127))
    assert.equal("cc80", bytes(128))
    assert.equal("cd0100", bytes(256))
    assert.equal("ce00010000", bytes(65536))
    assert.equal("cf0000000100000000", bytes(1 << 32))
    assert.equal("e0", bytes(-32))
    assert.equal("d0df", bytes(-33))
    assert.equal("d1ff7f", bytes(-129))
    assert.equal("d2ffff7fff", bytes(-32769))
    assert.equal("d38000000000000000", bytes(math.mininteger))
    assert.equal("cb3ff0000000000000", bytes(1.0))
    assert.equal("c0", bytes(nil))
    assert.equal("c2", bytes(false))
    assert.equal("c3", bytes(true))
  end)

  it("of other writers are read", function()
    assert.equal(1.5, decoded "ca 3fc00000")
    assert.equal(2.0^64, decoded "cf ffffffffffffffff" + 1)
    assert.equal("float", math.type(decoded "cf ffffffffffffffff"))
    assert.equal(5, decoded "d3 0000000000000005")
    assert.equal("ab", decoded "da 0002 6162")
    assert.same({1, 2}, decoded "dd 00000002 01 02")
    assert.same({a = 1}, decoded "df 00000001 a1 61 01")
  end)
end)

describe("strings", function()
  it("are str when they are valid UTF-8, else bin, and keep every byte", function()
    assert.equal("a161", bytes "a")
    assert.equal("a2c3a9", bytes "é")
    assert.equal("c401ff", bytes "\xff")
    assert.equal("a0", bytes "")
    assert.equal("a100", bytes "\0")
    for _, bad in ipairs {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "a\x80", "\xc3",
        "12345678\xe2\x82", "\xf0\x80\x80\x80", "\xf8\x88\x80\x80\x80", "1234567\xff90123456"} do
      assert.equal("c4", bytes(bad):sub(1, 2), bad)
      same(bad)
    end
    for _, good in ipairs {"\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10ffff}",
        "1234567é890123456"} do
      assert.truthy(bytes(good):find "^[ab]", good)
      same(good)
    end
  end)

  it("of any length", function()
    local every = {}
    for i = 0, 255 do every[i + 1] = string.char(i) end
    same(table.concat(every))
    for _, n in ipairs {31, 32, 255, 256, 65535, 65536, 65537, 1 << 20} do
      same(("x"):rep(n))
      same(("\xfe"):rep(n))
    end
    assert.equal("da", bytes(("x"):rep(65535)):sub(1, 2))
    assert.equal("c6", bytes(("x"):rep(65537)):sub(1, 2))
  end)

  it("that are long may stay where they are", function()
    local long = ("é"):rep(100000)
    assert.equal((codec.encode(codec.FULL, "value", long)), (codec.encode(codec.TAIL, "value", long)))
    same(long, codec.FULL | codec.TAIL)
    same({long}, codec.FULL | codec.TAIL)
    same("short", codec.FULL | codec.TAIL)
  end)
end)

describe("tables", function()
  it("are arrays when their keys are 1 to n, else maps", function()
    assert.equal("93010203", bytes {1, 2, 3})
    assert.equal("80", bytes {})
    assert.equal("81a16101", bytes {a = 1})
    assert.equal("8102c3", bytes {[2] = true})
    assert.equal("9101", bytes {1})
    assert.equal("dc0010" .. ("01"):rep(16), bytes {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
    assert.equal("82", bytes({1, x = 2}):sub(1, 2))
  end)

  it("keep holes, n, odd keys and mixed parts", function()
    same(table.pack(1, nil))
    same(table.pack(nil, nil, 3))
    same {1, nil, 3}
    same {nil, nil, 3}
    same {1, 2, 3, nil, 5, nil}
    same {[0] = 0, 1, 2, 3}
    same {1, 2, 3, x = 1, [2^53] = 2, [1.5] = 3, [true] = 4, [false] = 5, [-1] = 6, ["\0"] = 7, ["1"] = 8}
    same {[math.mininteger] = 1, [math.maxinteger] = 2, [math.huge] = 3}
    same {{1, {2, x = {3}}, y = {}}, {{}, {}}, {{{}}}}
    same {1, "2", {3}, x = 4}
    same {{1}, 2, x = 3}
    same {{}, nil, {}}
  end)

  it("that are sequences in their hash part are arrays all the same", function()
    for n = 1, 40 do
      local t = {}
      for i = n, 1, -1 do t[i] = i end
      assert.equal("9", bytes({table.unpack(t, 1, math.min(n, 15))}):sub(1, 1))
      same(t)
      t.x = true
      same(t)
      t.x = nil
      t["2"] = n
      same(t)
    end
  end)

  it("of many sizes", function()
    for _, n in ipairs {14, 15, 16, 17, 255, 256, 65535, 65536, 70000} do
      local list, map, lists = {}, {}, {}
      for i = 1, n do
        list[i], map["k" .. i], lists[i] = i, i, i % 7 == 0 and {i} or i
      end
      same(list)
      same(map)
      same(lists)
      map[map], map.k1 = 1, map
      local back = through(map)
      assert.equal(1, back[back])
      assert.equal(back, back.k1)
    end
  end)

  it("with keys that are almost the same, again and again", function()
    local keys = {}
    for n = 1, 40 do
      for _, middle in ipairs {"", "-", "+"} do
        local half = (n - #middle) // 2
        keys[#keys + 1] = ("a"):rep(half) .. middle .. ("a"):rep(n - half - #middle)
      end
      keys[#keys + 1] = ("a"):rep(n - 1) .. "A"
    end
    for pairs_each = 1, 20 do
      local list = {}
      for i = 1, 300 do
        local map = {}
        for j = 1, pairs_each do map[keys[(i * 7 + j * j) % #keys + 1]] = j end
        list[i] = map
      end
      same(list)
    end
    same {("x"):rep(300), {k = 1}, {k = 1}, {kk = {k = 1}}, {k = {k = {}}}}
  end)

  it("of scalars and others in every order", function()
    local others = {{}, {1}, {x = 1}, print, false, "s", ("long"):rep(20), 1.5, -1, -200, 1 << 40}
    local long = {}
    for i = 1, 0x8001 do long[i] = i * 77 end
    for n = 0x8001, 0x7fff, -1 do
      same(table.move(long, 1, n, 1, {}))
      same(table.move(long, 1, n - 1, 1, {[n] = {}}))
    end
    for _, n in ipairs {10, 11, 12, 13, 40} do
      for _, at in ipairs {1, 2, n // 2, n - 1, n} do
        for _, other in ipairs(others) do
          local list = {}
          for i = 1, n do list[i] = i * 77 end
          list[at] = other
          same(list)
          same({list, list, other})
        end
      end
    end
  end)

  it("that others filled with nil", function()
    local list = decoded("dc 0014" .. ("c0"):rep(9) .. "07" .. ("c0"):rep(9) .. "c3")
    assert.equal(7, list[10])
    assert.equal(true, list[20])
    list[10], list[20] = nil, nil
    assert.is_nil(next(list))
    assert.is_nil(next(decoded("dc 0014" .. ("c0"):rep(20))))
    list = decoded("dc 0014" .. ("c0"):rep(18) .. "90 c0")
    assert.equal(19, next(list))
    malformed("byte 20: 0xc1 does not begin a value", "dc 0014" .. ("c0"):rep(16) .. "c1" .. ("c0"):rep(3))
    malformed("byte 4: 20 parts are promised, and the message ends before", "dc 0014" .. ("c0"):rep(19))
    malformed("byte 24: the message ends too early", "dc 0014" .. ("01"):rep(19) .. "cd")
  end)

  it("keep identity within a message", function()
    local shared = {1}
    local t = {shared, shared, {shared}, x = shared}
    t.self = t
    t[shared] = "key"
    local back = same(t)
    assert.equal(back[1], back.x)
    assert.equal(back[1], back[3][1])
    assert.equal(back, back.self)
    assert.equal("key", back[back[1]])
    assert.are_not.equal(shared, back[1])
    same {{}, {}}
    local many = {}
    for i = 1, 1000 do many[i] = {i} end
    for i = 1, 1000 do many[1000 + i] = many[1001 - i] end
    back = same(many)
    assert.equal(back[1], back[2000])
  end)

  it("may be empty, and keys of maps", function()
    local key = {1, 2}
    local back = through {[key] = key, [{}] = {}}
    for k, v in pairs(back) do
      if k == v then assert.same({1, 2}, k) else assert.same({}, k) end
    end
  end)

  it("nest deeply without using C's stack", function()
    local list, depth = nil, 100000
    for i = 1, depth do list = {value = i, next = list} end
    local back = through(list)
    for i = depth, 1, -1 do
      assert(back.value == i)
      back = back.next
    end
    assert.is_nil(back)
    local nested = {}
    for _ = 1, depth do nested = {nested} end
    nested = through(nested)
    for _ = 1, depth do nested = nested[1] end
    assert.same({}, nested)
  end)

  it("that nest too deeply for Lua's own stack are refused with a clear error", function()
    local list
    for _ = 1, 1200000 do list = {list} end
    local kind, message = failure(codec.encode, codec.FULL, "value", list)
    assert.equal("SerializationError", kind)
    assert.truthy(message:find "nested too deeply")
    kind, message = failure(codec.decode, codec.FULL, ("\x91"):rep(1200000) .. "\xc0")
    assert.equal("SerializationError", kind)
    assert.truthy(message:find "nested too deeply")
    same {1}
  end)

  it("ignore metamethods of registered classes", function()
    local class = {__index = function() error "index" end, __newindex = function() error "newindex" end,
      __pairs = function() error "pairs" end, __len = function() error "len" end}
    codec.register_class("Strict", class)
    same(setmetatable({1, 2, x = 3}, class))
  end)
end)

describe("several values", function()
  local MODE = codec.FULL | codec.VALUES

  local function list_through(...)
    return table.pack(codec.decode(MODE, (codec.encode(MODE, "args", ...))))
  end

  it("are one message, nils and all", function()
    assert.same({n = 0}, list_through())
    assert.same({n = 1}, list_through(nil))
    assert.same({n = 4, 1, nil, "x"}, list_through(1, nil, "x", nil))
    local shared = {}
    local back = list_through(shared, {shared})
    assert.equal(back[1], back[2][1])
    local many = {}
    for i = 1, 5000 do many[i] = {i} end
    assert.same(5000, list_through(table.unpack(many)).n)
  end)

  it("are named by number in errors", function()
    local kind, message = failure(codec.encode, MODE, "args", 1,
      {handlers = {on_close = coroutine.create(print)}})
    assert.equal("SerializationError", kind)
    assert.equal("args[2].handlers.on_close: a thread cannot be sent", message)
  end)

  it("are a plain array on the wire", function()
    assert.equal("\x92\x01\xa1x", (codec.encode(MODE, "args", 1, "x")))
    malformed("byte 1: a list of values is missing", "01", codec.VALUES)
    malformed("byte 1: 15 values are promised, and the message ends before", "9f 01", codec.VALUES)
    malformed("byte 1: 4294967295 values are promised, and the message ends before",
      "dd ffffffff", codec.VALUES)
  end)
end)

describe("classes", function()
  local Point = {}
  Point.__index = Point
  codec.register_class("Point", Point)

  it("give their metatable back", function()
    local p = setmetatable({x = 1, y = 2}, Point)
    p.me = p
    local back = same {p, p, {p}}
    assert.equal(Point, getmetatable(back[1]))
    assert.equal(back[1], back[2])
    assert.equal(back[1], back[1].me)
    same(setmetatable({}, Point))
    same(setmetatable({1, 2, {3}}, Point))
    same(setmetatable({setmetatable({}, Point)}, Point), codec.DATA)
  end)

  it("nest deeply", function()
    local list
    for i = 1, 20000 do list = setmetatable({value = i, next = list}, Point) end
    local back, n = through(list), 0
    while back do
      back, n = back.next, n + 1
    end
    assert.equal(20000, n)
  end)

  it("may pack and unpack themselves", function()
    local Set = {}
    codec.register_class("Set", Set, {
      pack = function(s)
        local keys = {}
        for k in pairs(s) do keys[#keys + 1] = k end
        return keys, "second", nil
      end,
      unpack = function(keys, second, third)
        assert(second == "second" and third == nil)
        local s = setmetatable({}, Set)
        for _, k in ipairs(keys) do s[k] = true end
        return s
      end,
    })
    local s = setmetatable({a = true, [Point] = nil, [7] = true}, Set)
    local back = same {s, {s}, 1}
    assert.equal(back[1], back[2][1])
    assert.same("table", type(same(setmetatable({}, Set), codec.DATA)))
    local own = setmetatable({}, Set)
    own[own] = true
    refused("value.x.(packed)[1]: an object that holds itself through its pack function cannot be sent", {x = own})
  end)

  it("whose pack function fails are refused by that error, and nothing is broken", function()
    local Bad = {}
    codec.register_class("Bad", Bad, {pack = function() error("no packing", 0) end, unpack = print})
    for _ = 1, 3 do
      local good, err = pcall(codec.encode, codec.FULL, "value", {1, setmetatable({}, Bad)})
      assert.is_false(good)
      assert.equal("no packing", err)
    end
    same {1, 2, 3}
  end)

  it("may encode while they are encoded", function()
    local Nested = {}
    codec.register_class("Nested", Nested, {
      pack = function(t) return (codec.encode(codec.FULL, "inner", {t.value, ("x"):rep(10000)})) end,
      unpack = function(s) return setmetatable({value = codec.decode(codec.FULL, s)[1]}, Nested) end,
    })
    local list = {}
    for i = 1, 100 do list[i] = setmetatable({value = {i}}, Nested) end
    same(list)
  end)

  it("may fill a buffer of their own to its last byte", function()
    local Packed = {}
    local function fill(value)
      codec.register_class("Filling", Packed, {pack = function()
        for n = 3900, 4200 do
          local back = through({("x"):rep(n), value})
          assert(#back[1] == n and not codec.differ(value, back[2]), n)
        end
      end, unpack = function() end})
      through(setmetatable({}, Packed))
    end
    for _, value in ipairs {{}, {1}, {{}}, {x = true}, {true, {}}, {-1.5, "s"}} do fill(value) end
    for n = 1, 40 do
      local list = {}
      for i = 1, n do list[i] = i % 3 == 0 end
      fill(list)
    end
  end)

  it("that pack into fresh tables are not confused with each other", function()
    local Fresh = {}
    codec.register_class("Fresh", Fresh, {
      pack = function(t)
        collectgarbage()
        return {t.value}
      end,
      unpack = function(t) return setmetatable({value = t[1]}, Fresh) end,
    })
    local list = {}
    for i = 1, 50 do list[i] = setmetatable({value = i}, Fresh) end
    same(list)
  end)

  it("that are not registered are refused, here and there", function()
    refused("value.x: a table whose metatable is not registered (register_class) cannot be sent",
      {x = setmetatable({}, {})})
    refused("value: a table whose metatable is not registered (register_class) cannot be sent",
      setmetatable({}, {}), codec.DATA)
    malformed("byte 1: class 'Q' is not registered here", "c7 03 05 a1 51 80")
    malformed("byte 1: class 'Q' is not registered here", "c7 04 06 a1 51 01 80")
    malformed("byte 1: class 'Q' is not registered here", "c7 03 05 a1 51 80", codec.FULL)
    malformed("byte 1: a class is not plain data", "c7 02 09 a1 51")
    malformed("byte 1: userdata type 'Q' is not registered here", "c7 04 07 a1 51 01 80")
    malformed("byte 1: a packed object whose class has no unpack function here",
      "c7 08 06 a5 506f696e74 01 80")
  end)

  it("are checked when they are registered", function()
    assert.has_error(function() codec.register_class(1, 2) end)
    assert.has_error(function() codec.register_class("A", {}, {pack = print}) end)
    assert.has_error(function() codec.register_userdata("A", {pack = print}) end)
    assert.has_error(function() codec.register_userdata("A") end)
  end)
end)

describe("functions", function()
  it("travel with their code and their upvalues", function()
    local a, b = 1, {2}
    local f = through(function(x) return a, b[1], x end)
    assert.same({1, 2, 3}, {f(3)})
    assert.same({x = 1}, {x = through(function() end)() or 1})
  end)

  it("share upvalues within a message", function()
    local count = 0
    local counter = through {
      up = function() count = count + 1 return count end,
      down = function() count = count - 1 return count end,
    }
    counter.up()
    counter.up()
    assert.equal(1, counter.down())
    assert.equal(0, count)
  end)

  it("may refer to themselves and to each other", function()
    local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
    assert.equal(120, through(factorial)(5))
    local even
    local function odd(n) return n ~= 0 and even(n - 1) end
    function even(n) return n == 0 or odd(n - 1) end
    assert.is_true(through(even)(10))
    local t = {}
    function t.get() return t end
    local back = through(t)
    assert.equal(back, back.get())
    assert.are_not.equal(t, back.get())
    local f = function() end
    back = through {f, f}
    assert.equal(back[1], back[2])
  end)

  it("keep their line numbers", function()
    local good, err = pcall(through(function() error "here" end))
    assert.is_false(good)
    assert.truthy(err:find "spec/codec_spec.lua:%d+: here")
  end)

  it("see the receiver's globals", function()
    local f = through(function() return _ENV.marker_of_this_spec, _ENV, string.format("%d", 3) end)
    _G.marker_of_this_spec = 42
    local marker, env, text = f()
    _G.marker_of_this_spec = nil
    assert.equal(42, marker)
    assert.equal(_G, env)
    assert.equal("3", text)
  end)

  it("nest deeply", function()
    local f = function() return 0 end
    for _ = 1, 5000 do
      local g = f
      f = function() return g end
    end
    local back = through(f)
    for _ = 1, 5000 do back = back() end
    assert.equal(0, back())
  end)

  it("that are C's travel by name or not at all", function()
    assert.equal(print, through(print))
    assert.equal(string.format, through(string.format))
    assert.same({print, print, math.sin}, through {print, print, math.sin})
    refused("value[2]: a C function that no loaded module has cannot be sent",
      {1, string.gmatch("a", "a")})
    refused("value.f.(upvalue co): a thread cannot be sent", (function()
      local co = coroutine.create(print)
      return {f = function() return co end}
    end)())
  end)

  it("are not plain data", function()
    refused("value.f: a function is not plain data", {f = print}, codec.DATA)
    local kind, message = failure(codec.data_encode, {f = function() end})
    assert.equal("SerializationError", kind)
    assert.equal("value.f: a function is not plain data", message)
    local code = codec.encode(codec.FULL, "value", function() end)
    kind, message = failure(codec.decode, codec.DATA, code)
    assert.equal("SerializationError", kind)
    assert.equal("bad message at byte 1: a function is not plain data", message)
    kind, message = failure(codec.decode, codec.DATA, (codec.encode(codec.FULL, "value", {print})))
    assert.equal("SerializationError", kind)
    assert.equal("bad message at byte 2: a module's value is not plain data", message)
  end)

  it("made anew each time travel by value, also after the modules were looked through", function()
    for i = 1, 3 do assert.equal(i, through(function() return i end)()) end
  end)

  it("travel from and to coroutines", function()
    assert.equal(3, coroutine.wrap(function() return through(function() return 3 end)() end)())
  end)

  it("with damaged code are refused", function()
    malformed("byte 1: the function cannot be loaded: function: bad binary format (truncated chunk)",
      "c7 03 04 c4 01 1b", codec.FULL)
    malformed("byte 1: the function cannot be loaded: attempt to load a text chunk (mode is 'b')",
      "c7 04 04 c4 02 61 62", codec.FULL)
  end)
end)

describe("names", function()
  it("stand for modules, their functions, and what the standard libraries hold", function()
    for _, v in ipairs {_G, string, table, package, package.loaded, io.stdin, io.stdout, io.stderr, require} do
      assert.equal(v, through {v}[1])
    end
    local upvalue = string
    assert.equal(string, through(function() return upvalue end)())
  end)

  it("stand for a user's module, also where it was met as a table before a function was", function()
    package.loaded["spec.named"] = {f = function() return 1 end, data = {1}}
    local named = package.loaded["spec.named"]
    local back = through {{1}, named, {named.f}, named.data}
    assert.equal(named, back[2])
    assert.equal(named.f, back[3][1])
    assert.are_not.equal(named.data, back[4])
    named.late = function() return 2 end
    assert.equal(named.late, through(named.late))
    local old = named.f
    named.f = nil
    assert.are_not.equal(old, through(old))
    package.loaded["spec.named"] = nil
    assert.are_not.equal(named, through {function() end, named}[2])
  end)

  it("stand for the methods of userdata types", function()
    local write = io.stdout.write
    assert.equal(write, through(function() return write end)())
    malformed("byte 1: 'no such' has no field of that name here", "c7 0c 03 a0 a7 6e6f2073756368 a2 7878", codec.FULL)
  end)

  it("stand for a module's tables of functions", function()
    local Class = {new = function() end, instances = {}}
    package.loaded["spec.named"] = {Class = Class, data = {1}}
    local back = through {Class, package.loaded["spec.named"].data, print}
    assert.equal(Class, back[1])
    assert.same({1}, back[2])
    assert.are_not.equal(package.loaded["spec.named"].data, back[2])
    package.loaded["spec.named"] = nil
  end)

  it("stand for fields that could not travel otherwise", function()
    local odd = setmetatable({}, {})
    package.loaded["spec.named"] = {odd = odd, file = io.tmpfile()}
    assert.equal(odd, through {odd}[1])
    refused("value: a userdata (FILE*) cannot be sent", package.loaded["spec.named"].file)
    package.loaded["spec.named"].file:close()
    package.loaded["spec.named"] = nil
  end)

  it("load the module where it is not loaded", function()
    package.preload["spec.loaded_late"] = function() return {answer = function() return 42 end} end
    local message = codec.encode(codec.FULL, "value", require("spec.loaded_late").answer)
    package.loaded["spec.loaded_late"] = nil
    assert.equal(42, codec.decode(codec.FULL, message)())
    package.loaded["spec.loaded_late"] = nil
    package.preload["spec.loaded_late"] = nil
    local kind, err = failure(codec.decode, codec.FULL, message)
    assert.equal("SerializationError", kind)
    assert.truthy(err:find("bad message at byte 1: module 'spec.loaded_late' cannot be loaded here: ", 1, true))
    package.loaded["spec.loaded_late"] = {}
    kind, err = failure(codec.decode, codec.FULL, message)
    assert.equal("SerializationError", kind)
    assert.equal("bad message at byte 1: 'spec.loaded_late' has no field of that name here", err)
    package.loaded["spec.loaded_late"] = nil
  end)

  it("never stand for a program's own global functions", function()
    function _G.function_of_this_spec() return 5 end
    local f = _G.function_of_this_spec
    _G.function_of_this_spec = nil
    assert.equal(5, through(f)())
    assert.are_not.equal(f, through(f))
  end)
end)

-- A Lua of its own that decodes: it has neither this one's globals nor its classes.
local function elsewhere(message, program)
  local file = helper.temporary ".bin"
  local handle <close> = assert(io.open(file, "wb"))
  handle:write(message)
  handle:close()
  return helper.output(([[
    package.path = "./?.lua;" .. package.path
    local codec = require "spec.support.codec"
    local file = io.open(%q, "rb")
    local value = codec.decode(codec.FULL, file:read "a")
    file:close()
    %s]]):format(file, program))
end

local function carried(value)
  return (codec.encode(codec.FULL | codec.CARRY, "value", value))
end

describe("globals", function()
  local function set(names)
    for k in pairs(names) do _G[k] = names[k] or nil end
  end

  it("that a function reads go along, and theirs, and those of inner functions", function()
    local env = _ENV
    function env.spec_double(x) return spec_two() * x end -- luacheck: ignore
    function env.spec_two() return spec_settings.two end -- luacheck: ignore
    env.spec_settings = {two = 2}
    local f = function(x)
      return (function() return spec_double(x), spec_absent, string.rep("x", 2) end)() -- luacheck: ignore
    end
    local message = carried(f)
    assert.equal("42\tnil\txx\n", elsewhere(message, "print(value(21))"))
    env.spec_double, env.spec_two, env.spec_settings = nil, nil, nil
    assert.truthy(message:find("spec_settings", 1, true))
  end)

  it("are not overwritten, nor sent to those who have them", function()
    local env = _ENV
    env.spec_here = "sender's"
    local f = function() return spec_here end -- luacheck: ignore
    assert.equal("receiver's\n", elsewhere(carried(f), "spec_here = \"receiver's\" print(value())"))
    assert.equal("sender's\tsender's\n", elsewhere(carried(f), "print(value(), spec_here)"))
    codec.present {spec_here = true}
    local message = carried(f)
    codec.present(nil)
    env.spec_here = nil
    assert.equal("nil\n", elsewhere(message, "print(value())"))
  end)

  it("that cannot be sent stay behind, with no trace in the message", function()
    local env = _ENV
    local shared = {"shared"}
    env.spec_bad = {{shared, shared}, function() return shared end, coroutine.create(print)}
    env.spec_good = {shared, shared}
    local f = function() return spec_bad, spec_good end -- luacheck: ignore
    local message = carried {f, shared}
    env.spec_bad, env.spec_good = nil, nil
    assert.equal("nil\tshared\ttrue\ttrue\n", elsewhere(message,
      "local bad, good = value[1]() print(bad, good[1][1], good[1] == good[2], good[1] == value[2])"))
  end)

  it("with long names, and of functions with many constants, go along too", function()
    local name = ("long_name"):rep(8)
    local names = {}
    for i = 1, 300 do names[i] = ("'k%d'"):format(i) end
    _G[name], _G.spec_far = "long", "far"
    local f = load(("local t = {%s} return %s, spec_far"):format(table.concat(names, ","), name))
    local message = carried(f)
    _G[name], _G.spec_far = nil, nil
    assert.equal("long\tfar\n", elsewhere(message, "print(value())"))
  end)

  it("are found in stripped code, and not in an environment of one's own", function()
    _G.spec_stripped = "stripped"
    local f = load(string.dump(load "return spec_stripped", true))
    local own = load("return spec_stripped", "own", "t", {spec_stripped = "own"})
    local message = carried {f, own}
    _G.spec_stripped = nil
    assert.equal("stripped\town\n", elsewhere(message, "print(value[1](), value[2]())"))
  end)

  it("are none of plain data, and only for the trusted", function()
    local kind, message = failure(codec.decode, codec.DATA, "\xc9\0\0\0\x06\1\0\0\0\0\x01\x80")
    assert.equal("SerializationError", kind)
    assert.equal("bad message at byte 12: a global is not plain data", message)
    assert.equal(bytes({1, 2}), bytes({1, 2}, codec.FULL | codec.CARRY))
  end)

  it("go along with several values too", function()
    _G.spec_several = {5}
    local f = load "return spec_several[1]"
    local message = codec.encode(codec.FULL | codec.CARRY | codec.VALUES, "args", f, nil, {f}, nil)
    _G.spec_several = nil
    local back = table.pack(codec.decode(codec.FULL | codec.VALUES, message))
    assert.equal(4, back.n)
    assert.equal(back[1], back[3][1])
    assert.equal(5, back[1]())
    _G.spec_several = nil
  end)

  it("cost no more than they hold", function()
    set {spec_unused = {1}}
    local message = carried(function() return 1 end)
    set {spec_unused = false}
    assert.is_nil(message:find("spec_unused", 1, true))
  end)
end)

describe("classes that the receiver lacks", function()
  local Base, Clock = {}, {}
  Base.__index = Base
  function Base.hello() return "hello" end
  Clock.__index = Clock
  setmetatable(Clock, {__index = Base, __call = function(class, t) return setmetatable({t = t}, class) end})
  function Clock:time() return self.t + 1 end
  codec.register_class("spec.Clock", Clock)

  it("go along with their instances", function()
    assert.equal("42\thello\ttrue\n", elsewhere(carried {Clock(41), Clock(1)}, [[
      print(value[1]:time(), value[1].hello(), getmetatable(value[1]) == getmetatable(value[2]))]]))
    assert.is_nil(codec.differ(Clock(1), codec.decode(codec.FULL, carried(Clock(1)))) or nil)
  end)

  it("go along as values, and are registered then", function()
    assert.equal("8\ttrue\n", elsewhere(carried(function(t) return Clock(t) end), [[
      local clock = value(7)
      print(clock:time(), getmetatable(codec.through(clock)) == getmetatable(clock))]]))
    assert.equal(Clock, through(Clock))
    assert.equal(Clock, through(function() return Clock end)())
  end)

  it("stay behind where they were not asked for", function()
    local message = codec.encode(codec.FULL, "value", {Clock(1), Clock})
    local program = "print(pcall(codec.decode, codec.FULL, MESSAGE))"
    assert.truthy(elsewhere(carried(1), ([[
      local good, err = pcall(codec.decode, codec.FULL, %q) print(good, err.message)]]):format(message))
      :find("false\tbad message at byte %d+: class 'spec.Clock' is not registered here"), program)
  end)

  it("are loaded with the module that they stand in", function()
    local file = helper.temporary ".lua"
    local handle <close> = assert(io.open(file, "w"))
    handle:write [[
      local codec = require "spec.support.codec"
      local Stack = {}
      Stack.__index = Stack
      function Stack:top() return self[#self] end
      codec.register_class("spec.Stack", Stack, {
        pack = function(s) return table.unpack(s) end,
        unpack = function(...) return setmetatable({...}, Stack) end})
      return {Stack = Stack}]]
    handle:close()
    local name, path = file:match("([^/]+)%.lua$"), file:match("^(.*/)")
    local old = package.path
    package.path = path .. "?.lua;" .. package.path
    local module = require(name)
    package.path = old
    local message = carried(setmetatable({1, 2, 3}, module.Stack))
    package.loaded[name] = nil
    assert.equal("3\n", elsewhere("\1", ([[
      package.path = %q .. package.path
      print(codec.decode(codec.FULL, %q):top())]]):format(path .. "?.lua;", message)))
  end)
end)

describe("userdata", function()
  it("of this library travel as tickets, whose places are told", function()
    local one, two = codec.object(1), codec.object(2)
    local message, offsets = codec.encode(codec.FULL, "value", {one, {two}, x = 1})
    assert.equal(2, #offsets)
    local numbers = {}
    for _, at in ipairs(offsets) do numbers[#numbers + 1] = string.unpack("=I8", message, at) end
    table.sort(numbers)
    assert.same({1, 2}, numbers)
    local back = codec.decode(codec.FULL, message)
    assert.equal(1, codec.number(back[1]))
    assert.equal(2, codec.number(back[2][1]))
  end)

  it("keep identity, and their tickets are found in an envelope too", function()
    local one = codec.object(77)
    local message, offsets = codec.encode(codec.FULL, "value", {one, one})
    assert.equal(1, #offsets)
    assert.equal(77, (string.unpack("=I8", message, offsets[1])))
    local back = codec.decode(codec.FULL, message)
    assert.equal(back[1], back[2])
  end)

  it("that may not travel are refused with the reason, and are no plain data", function()
    refused("value.pool: a Pool cannot be sent", {pool = codec.object(-1)})
    refused("value[1]: a shared object is not plain data", {codec.object(1)}, codec.CODE)
    malformed("byte 1: a shared object is not plain data", "d8 08" .. ("00"):rep(16))
    malformed("byte 1: a ticket must be sixteen bytes", "d6 08 00000000", codec.FULL)
  end)

  it("of others are refused unless they are registered", function()
    local file = io.tmpfile()
    refused("value[1]: a userdata (FILE*) cannot be sent", {file})
    codec.register_userdata("FILE*", {
      pack = function(f) f:seek "set" return f:read "a" end,
      unpack = function(text)
        local f = io.tmpfile()
        f:write(text)
        f:seek "set"
        return f
      end,
    })
    file:write "text"
    local back = through {file, file}
    assert.equal("text", back[1]:read "a")
    assert.equal(back[1], back[2])
    file:close()
    back[1]:close()
  end)
end)

describe("refusals", function()
  it("show the way to the culprit", function()
    local co = coroutine.create(print)
    refused("value: a thread cannot be sent", co)
    refused("value[3]: a thread cannot be sent", {1, {}, co})
    refused('value["a b"]: a thread cannot be sent', {["a b"] = co})
    refused('value["\\000\\"\\\\"]: a thread cannot be sent', {["\0\"\\"] = co})
    refused("value[-1][1.5][true][a table]: a thread cannot be sent",
      {[-1] = {[1.5] = {[true] = {[{}] = co}}}})
    refused("value.(a thread as key): a thread cannot be sent", {[co] = 1})
    refused("value[1].(a table as key)[1]: a thread cannot be sent", {{[{co}] = 1}})
    local large = {}
    for i = 1, 100 do large["k" .. i] = {i} end
    large.k50 = {co}
    refused("value.k50[1]: a thread cannot be sent", large)
    refused("value.x[2].y: a thread cannot be sent", {x = {{{}}, {y = co}}})
  end)

  it("cut what is long", function()
    local co = coroutine.create(print)
    local deep = co
    for _ = 1, 500 do deep = {deep} end
    local _, message = failure(codec.encode, codec.FULL, "value", deep)
    assert.equal("value" .. ("[1]"):rep(20) .. " ... " .. ("[1]"):rep(20) .. ": a thread cannot be sent",
      message)
    _, message = failure(codec.encode, codec.FULL, "value", {[("x"):rep(1000)] = co})
    assert.truthy(#message < 120)
  end)

  it("leave the codec as it was", function()
    for _ = 1, 10 do
      pcall(codec.encode, codec.FULL, "value", {{{}}, coroutine.create(print)})
      same {1, {2}}
    end
  end)
end)

describe("bytes that are no message", function()
  it("are refused with the position", function()
    malformed("byte 1: the message ends too early", "")
    malformed("byte 1: 0xc1 does not begin a value", "c1")
    malformed("byte 2: the message goes on after its value", "01 02")
    malformed("byte 2: the message ends too early", "a5 6162")
    malformed("byte 2: 2 parts are promised, and the message ends before", "92 01")
    malformed("byte 6: 4294967295 parts are promised, and the message ends before", "dd ffffffff")
    malformed("byte 6: 8589934590 parts are promised, and the message ends before", "df ffffffff 01 02")
    malformed("byte 2: the message ends too early", "c6")
    malformed("byte 6: the message ends too early", "c6 ffffffff 00")
    malformed("byte 2: nil cannot be a key", "81 c0 01")
    malformed("byte 10: NaN cannot be a key", "81 cb 7ff8000000000000 01")
    malformed("byte 1: extension type -1 is unknown", "d6 ff 00000000")
    malformed("byte 1: extension type 100 is unknown", "d4 64 00")
    malformed("byte 1: the message ends too early", "c7 05 64 00")
    malformed("byte 1: a reference to an object that is not there", "d6 02 00000000")
    malformed("byte 1: a reference must be four bytes", "d4 02 00")
  end)

  it("never cost more memory than a multiple of their length", function()
    local head = from_hex "dc ffff"
    local message = head:rep(21000) .. ("\x01"):rep(65535)
    collectgarbage()
    local before = collectgarbage "count"
    collectgarbage "stop"
    assert.is_false((pcall(codec.decode, codec.DATA, message)))
    local grown = (collectgarbage "count" - before) * 1024
    collectgarbage "restart"
    assert.truthy(grown < 64 * #message, grown)
  end)

  it("with a damaged envelope are refused", function()
    local t = {}
    local good = codec.encode(codec.DATA, "value", {t, t})
    assert.equal("c9", ("%02x"):format(good:byte()))
    for i = 1, #good do
      for _, byte in ipairs {0, 1, 127, 128, 255} do
        local bad = good:sub(1, i - 1) .. string.char(byte) .. good:sub(i + 1)
        local fine, err = pcall(codec.decode, codec.DATA, bad)
        assert.truthy(fine or err.kind == "SerializationError", err)
      end
      assert.is_false((pcall(codec.decode, codec.DATA, good:sub(1, i - 1))))
    end
  end)

  it("made of good messages by chance are refused or read, never worse", function()
    local Class = {}
    codec.register_class("Chance", Class)
    local t = {1, "two", {3.5, x = {true}}, [{}] = setmetatable({-100000}, Class)}
    t.self = t
    local good = codec.encode(codec.DATA, "value", t)
    math.randomseed(12)
    for _ = 1, 20000 do
      local i = math.random(#good)
      local bad = good:sub(1, i - 1) .. string.char(math.random(0, 255)) .. good:sub(i + math.random(0, 2))
      local fine, err = pcall(codec.decode, codec.DATA, bad)
      assert.truthy(fine or err.kind == "SerializationError", err)
    end
  end)
end)

describe("memory", function()
  local function load_all()
    local t = {1, 2.5, "three", {x = {}}, print, function() return codec end and nil}
    local up = {}
    t.f = function() return up, t end
    t.t = t
    for i = 1, 100 do t["key" .. i] = {i, tostring(i):rep(20)} end
    for _ = 1, 20 do
      local back = through(t)
      assert(back.t == back and select(2, back.f()) == back)
    end
  end

  it("is in order under a frantic collector", function()
    collectgarbage("incremental", 0, 1000)
    load_all()
    collectgarbage "generational"
    load_all()
    collectgarbage("incremental", 200, 100)
  end)

  it("is reused, and given back after large messages", function()
    same(("x"):rep(20 << 20))
    for _ = 1, 100 do same {1} end
    collectgarbage()
    local low = collectgarbage "count"
    assert.truthy(low < 16 * 1024, low)
  end)
end)
