-- The programs of the documentation run: each block marked lua that is followed by a block marked
-- text is a program, and the text is exactly what it prints. A block without one is at least Lua.
local helper = require "spec.helper"
local needs = require "spec.support.needs"

-- The pages that exist of those that the project promises.
local function pages()
  local ls <close> = assert(io.popen("ls README.md docs/guide.md docs/reference/*.md 2>/dev/null"))
  local names = {}
  for name in ls:lines() do names[#names + 1] = name end
  return names
end

-- The page's fenced blocks in order: {kind =, line =, text =, follows = (true where nothing but
-- blank lines stands between it and the block before)}.
local function blocks_of(page)
  local blocks, block, number, prose = {}, nil, 0, false
  for line in io.lines(page) do
    number = number + 1
    local fence = line:match("^```(.*)$")
    if block and fence then
      block.text = table.concat(block.lines, "\n") .. "\n"
      blocks[#blocks + 1], block, prose = block, nil, false
    elseif block then
      table.insert(block.lines, line)
    elseif fence then
      block = {kind = fence, line = number, lines = {}, follows = not prose}
    elseif line:find("%S") then
      prose = true
    end
  end
  assert(not block, page .. " ends inside a block")
  return blocks
end

local function check_program(program, expected)
  local lacking = needs.missing(needs.of(program))
  if lacking then return pending("the module has no " .. lacking .. " yet") end
  local run = helper.run(program, {pty = true}) -- as a reader sees it, line by line
  assert(run.status == 0 and #run.left == 0 and run.stderr == "", helper.describe(run))
  assert.equal(expected, run.stdout)
end

local function check_page(page)
  local blocks = blocks_of(page)
  for i, block in ipairs(blocks) do
    local after = blocks[i + 1]
    local name = ("%s:%d"):format(page, block.line)
    if block.kind == "lua" and after and after.kind == "text" and after.follows then
      it(name, function() check_program(block.text, after.text) end)
    elseif block.kind == "lua" then
      it(name .. " is Lua", function() assert(load(block.text, "=" .. name)) end)
    end
  end
end

describe("documentation", function()
  for _, page in ipairs(pages()) do check_page(page) end
end)

describe("the reader of pages", function()
  it("finds the blocks and what follows what", function()
    local page = helper.temporary()
    local file <close> = assert(io.open(page, "w"))
    file:write("words\n```lua\nprint(1)\n```\n\n```text\n1\n```\nwords\n```lua\nx()\n```\nmore\n```text\n2\n```\n")
    file:close()
    local blocks = blocks_of(page)
    assert.equal(4, #blocks)
    assert.equal("print(1)\n", blocks[1].text)
    assert.is_true(blocks[2].follows)
    assert.is_false(blocks[4].follows)
  end)

  it("sees a program that prints something else", function()
    assert.is_false((pcall(check_program, "print(1)", "2\n")))
    assert.is_false((pcall(check_program, "print(2) os.exit(1)", "2\n")))
    check_program("print(2)", "2\n")
  end)
end)
