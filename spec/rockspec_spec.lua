local helper = require "spec.helper"

describe("the rockspec", function()
  it("names the tree's files", function()
    local file <close> = assert(io.open("rockspec/multiprocessing-scm-1.rockspec"))
    local written = file:read("a")
    file:close()
    assert.equal(helper.output("tools/rockspec.lua"), written, "lua5.4 tools/rockspec.lua writes it anew")
  end)
end)
