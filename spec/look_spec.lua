-- The tools that judge the tutorials' output must be able to say no.
local look = require "spec.support.look"

local function lines(text)
  return look.lines_of((text:gsub(" ", "\n")))
end

local function no(judge, ...)
  assert.is_false((pcall(judge, ...)))
end

describe("look", function()
  it("sees who comes too early", function()
    look.in_order(lines("a1 b2 c3"), {"a", "b", "c"})
    no(look.in_order, lines("a1 c3 b2"), {"a", "b", "c"})
    no(look.in_order, lines("a1 b2"), {"a", "b", "c"})
  end)

  it("sees which line is not the last", function()
    look.is_last(lines("a b"), "b")
    no(look.is_last, lines("a b c"), "b")
  end)

  it("sees one too many inside, and who left without having come", function()
    look.inside(lines("+1 +2 -1 +3 -3 -2"), "^%+(.)", "^%-(.)", 2)
    no(look.inside, lines("+1 +2 +3 -1 -3 -2"), "^%+(.)", "^%-(.)", 2)
    no(look.inside, lines("+1 -2 -1"), "^%+(.)", "^%-(.)", 2)
    no(look.inside, lines("+1"), "^%+(.)", "^%-(.)", 2)
  end)

  it("counts different values", function()
    look.at_most(2, {"a", "b", "a"})
    no(look.at_most, 2, {"a", "b", "c"})
    no(look.at_most, 2, {})
  end)

  it("sees what was eaten twice, too early, or never", function()
    look.eaten_once(lines("+a +a -a +b -b -a"), "^%+(.)", "^%-(.)")
    no(look.eaten_once, lines("+a -a -a"), "^%+(.)", "^%-(.)")
    no(look.eaten_once, lines("-a +a"), "^%+(.)", "^%-(.)")
    no(look.eaten_once, lines("+a +b -a"), "^%+(.)", "^%-(.)")
  end)

  it("sees what did not run side by side", function()
    look.overlap(lines("a a b a b"), "a", "b")
    no(look.overlap, lines("a a b b"), "a", "b")
    no(look.overlap, lines("b b a a"), "a", "b")
  end)

  it("writes lists", function()
    assert.same({"a", "b", "b", "b"}, look.list("a", "b", 3))
    assert.same({"x1", "y1", "x2", "y2"}, look.numbered(1, 2, "x%d", "y%d"))
    assert.same({"a", "b", "c"}, look.joined({"a"}, {"b", "c"}))
  end)
end)
