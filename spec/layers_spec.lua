-- tools/layers.lua sees each kind of breach, in a small tree of its own.
local helper = require "spec.helper"

local function shell(line)
  local result = helper.run("", {command = "sh -c '" .. line .. "'"})
  assert.equal(0, result.status, helper.describe(result))
end

describe("the layering rule", function()
  local dir, tool

  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    shell("mkdir -p " .. dir .. "/src/core " .. dir .. "/src/codec " .. dir .. "/src/binding")
    shell("cp src/multiprocessing.h " .. dir .. "/src/; cp src/core/base.h " .. dir .. "/src/core/")
    shell("cp tools/layers.lua " .. dir .. "/layers.lua")
    tool = {dir = dir}
  end)
  after_each(function() shell("rm -rf " .. dir) end)

  local function write(path, text)
    local file <close> = assert(io.open(dir .. "/" .. path, "w"))
    file:write(text, "\n")
  end

  local function refuses(path, text, complaint)
    write(path, text)
    local result = helper.run("layers.lua", tool)
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find(complaint, 1, true), result.stderr)
  end

  it("lets a good tree pass", function()
    write("src/core/arena.c", '#include "base.h"\n#include <string.h>')
    local result = helper.run("layers.lua", tool)
    assert.equal(0, result.status, helper.describe(result))
  end)

  it("sees a core file that includes Lua", function()
    refuses("src/core/arena.c", "#include <lua.h>", "<lua.h> is for codec and binding")
  end)

  it("sees a file that includes one of a higher rank", function()
    write("src/core/queue.h", "")
    refuses("src/core/arena.c", '#include "queue.h"', "src/core/arena.c:1: includes queue.h, of a higher rank")
  end)

  it("sees the core use the codec", function()
    write("src/codec/codec.h", "")
    refuses("src/core/arena.c", '#include "../codec/codec.h"', "of a higher rank")
  end)

  it("sees a file without a rank", function()
    refuses("src/core/novelty.c", "", "src/core/novelty.c: has no rank")
  end)

  it("sees a platform's condition and a platform's header", function()
    refuses("src/core/heap.c", "#ifdef __linux__", "__linux__ outside of src/core/os_*")
    refuses("src/core/heap.c", "#include <unistd.h>", "<unistd.h> is for src/core/os_*.c")
  end)

  it("sees memory that the binding allocates", function()
    refuses("src/binding/queue.c", "void *p = malloc(3);", "malloc: what lives beside the Lua stack")
  end)

  it("sees a header that does not stand alone", function()
    refuses("src/core/heap.h", "size_t heap_size(void);", "src/core/heap.h does not stand alone in c")
    refuses("src/core/heap.h", "void heap_new(int class);", "does not stand alone in c++")
  end)

  it("sees a file whose place has not been found", function()
    refuses("src/codec/util.c", "", "its place has not been found yet")
  end)
end)
