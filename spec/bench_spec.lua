-- The bench: its programs still run, and its table says what was measured.
local helper = require "spec.helper"

package.path = "bench/?.lua;" .. package.path
local report = require "report"

local function bench(options, env)
  return helper.run("", {
    command = "lua5.4 bench/run.lua --quick --ours " .. options, env = env, limit = 3 * helper.LIMIT})
end

-- The line of our figures in a metric's block.
local function our_line(output, metric)
  return output:match("\n" .. metric .. ", %S+\n(  ours[^\n]*)")
end

describe("the bench", function()
  it("takes the ratios round by round", function()
    assert.equal(2, report.ratio({2, 40, 600}, {1, 20, 100}))
    assert.equal(2.5, report.median {4, 1, 3, 2})
    assert.is_nil(report.ratio({1, 2}, {1}))
    assert.is_nil(report.ratio({}, {}))
  end)

  it("prints three digits", function()
    assert.equal("3.31 M", report.figure(3310400, "/s"))
    assert.equal("184 k", report.figure(183990, "/s"))
    assert.equal("1.00 M", report.figure(999900, "/s"))
    assert.equal("0.965", report.figure(0.9652, "ms"))
    assert.equal("2394", report.figure(2394.4, "KiB"))
  end)

  it("judges by speed or by cost, and shows no number for what is absent", function()
    local case = {sides = {{name = "ours"}, {name = "Python"}, {name = "least"}}}
    local metric = {name = "wait", unit = "us", targets = {
      {side = "Python", speed = 2}, {side = "least", costs = 1.5}}}
    local tally = {met = 0, missed = 0, open = 0}
    local text = report.block(case, metric, {
      ours = {wait = {10, 12}}, Python = {wait = {40, 36}}, least = {wait = {5, 6}}}, tally)
    assert.truthy(text:find("Python .* 3%.50 x as fast +>= 2 +yes\n"), text)
    assert.truthy(text:find("least .* 2%.00 x its time +<= 1%.5 +NO\n"), text)
    assert.same({met = 1, missed = 1, open = 0}, tally)
    text = report.block(case, metric, {
      ours = {wait = {reason = "absent"}}, Python = {wait = {40}}, least = {wait = {5}}}, tally)
    assert.truthy(text:find("\n  ours +absent\n"), text)
    assert.falsy(text:find("x as fast", 1, true), text)
    assert.same({met = 1, missed = 1, open = 2}, tally)
  end)

  it("has a figure of ours wherever the module has the name", function()
    local result = bench "codec start_join import"
    assert.equal(0, result.status, helper.describe(result))
    local names = {codec_small = "encode", codec_ints = "encode", codec_nested = "decode",
      start_join = "Process", import = "_VERSION"}
    for metric, name in pairs(names) do
      local there = helper.output(('print(require("multiprocessing").%s ~= nil)'):format(name))
      local shape = there == "true\n" and "ours +[%d.]+" or "ours +absent"
      assert.truthy(our_line(result.stdout, metric):find(shape), result.stdout)
    end
  end)

  it("fails when a program fails", function()
    local result = bench("codec", {LUA_INIT = "if arg and arg[0]:find 'codec' then error 'broken' end"})
    assert.equal(1, result.status, helper.describe(result))
    assert.truthy(result.stdout:find("failed: ", 1, true), result.stdout)
    assert.truthy(our_line(result.stdout, "codec_small"):find("ours +failed"), result.stdout)
  end)

  it("knows its cases", function()
    local result = bench "no_such_case"
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find('no case "no_such_case"', 1, true), helper.describe(result))
  end)
end)
