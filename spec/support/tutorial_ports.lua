-- What the port of each tutorial program must print. An entry has: needs (what the module must
-- have), second (the pace), lines (the set), exact (the lines come in this order), may (lines that
-- may be there once), normal (replacements that turn what changes from run to run into a word),
-- order(lines, run) (what holds of the order for any interleaving; run.second is the pace), file
-- and after (the port takes a file's name as its argument: the text before the run, and the check
-- of the text after it).
local assert = require "luassert"
local helper = require "spec.helper"
local look = require "spec.support.look"

local at, captured, in_order, is_last = look.at, look.captured, look.in_order, look.is_last
local inside, at_most, eaten_once = look.inside, look.at_most, look.eaten_once
local list, numbered, joined = look.list, look.numbered, look.joined

local SECONDS = {"runs %d+%.%d%d seconds", "runs N seconds"}

local PORTS = {}


PORTS["000-01_interval"] = {
  needs = {"Process"}, second = 0.02, normal = {{"p.pid: %d+", "p.pid: PID"}},
  lines = list("p.pid: PID", "p.name: Process-1", "p.is_alive: true", "the time is TIME", 5),
  order = function(lines, run)
    in_order(lines, {"p.pid", "p.name", "p.is_alive"})
    assert(run.elapsed >= 5 * 3 * run.second, "it slept too little")
  end,
}

PORTS["000-02_three_workers"] = {
  needs = {"Process", "active_children", "cpu_count"}, second = 0.2,
  normal = {{"p.id%d+", "p.idPID"}, {"cpu is:%d+", "cpu is:N"}},
  lines = joined({"the number of cpu is:N", "end"}, numbered(1, 3, "worker_%d", "end worker_%d",
    "child   p.name:Process-%d\tp.idPID")),
  order = function(lines)
    in_order(lines, {"the number", "child", "end"})
    for i = 1, 3 do in_order(lines, {"worker_" .. i, "end worker_" .. i}) end
    local pids = captured(lines, "p%.id(%d+)")
    assert(pids[1] ~= pids[2] and pids[2] ~= pids[3] and pids[1] ~= pids[3])
    local getconf <close> = assert(io.popen("getconf _NPROCESSORS_ONLN"))
    assert.equal(getconf:read("l"), captured(lines, "cpu is:(%d+)")[1])
  end,
}

PORTS["000-03_clock_process"] = {
  needs = {"Process"}, second = 0.02, lines = list("the time is TIME", 5),
  order = function(_, run) assert(run.elapsed >= 5 * 3 * run.second, "it slept too little") end,
}

PORTS["000-04_no_daemon"] = {
  needs = {"Process"}, second = 0.1, lines = {"end!", "work start:TIME", "work end:TIME"},
  order = function(lines)
    in_order(lines, {"work start", "work end"})
    in_order(lines, {"end!", "work end"})
  end,
}

PORTS["000-05_daemon"] = {
  needs = {"Process"}, second = 2, lines = {"end!"}, may = {"work start:TIME"},
}

PORTS["000-06_daemon_join"] = {
  needs = {"Process"}, second = 0.02, exact = true,
  lines = {"work start:TIME", "work end:TIME", "end!"},
}

local WITH, DIRECTLY = ("lockd acquired via with\n"):rep(9), ("lock acquired directly\n"):rep(9)

PORTS["000-07_lock_file"] = {
  needs = {"Process", "Lock"}, lines = {"end"}, file = "",
  after = function(text)
    assert(text == WITH .. DIRECTLY or text == DIRECTLY .. WITH, "the file holds:\n" .. text)
  end,
}

PORTS["000-08_semaphore"] = {
  needs = {"Process", "Semaphore"}, second = 0.02,
  lines = numbered(1, 5, "Process-%dacquire", "Process-%drelease"),
  order = function(lines) inside(lines, "(.+)acquire", "(.+)release", 2) end,
}

PORTS["000-09_event"] = {
  needs = {"Process", "Event"}, second = 0.3,
  lines = {
    "wait_for_event: starting", "wait_for_event_timeout:starting", "main: event is set",
    "wait_for_event_timeout:e.is_set->false", "wairt_for_event: e.is_set()->true",
  },
  order = function(lines)
    in_order(lines, {"wait_for_event: starting", "wairt_for_event"})
    in_order(lines, {"wait_for_event_timeout:s", "wait_for_event_timeout:e", "main: event is set"})
  end,
}

PORTS["000-10_queue"] = {needs = {"Process", "Queue"}, lines = {}, may = {"1"}}

PORTS["000-11_pipe"] = {
  needs = {"Process", "Pipe"}, second = 0.02, lines = numbered(0, 8, "send: %d", "proc2 rev: %d"),
  order = function(lines)
    for i = 0, 8 do in_order(lines, {"send: " .. i, "proc2 rev: " .. i}) end
    in_order(lines, numbered(0, 8, "send: %d"))
    in_order(lines, numbered(0, 8, "proc2 rev: %d"))
  end,
}

local MARK, DONE = "mark~ mark~ mark~~~~~~~~~~~~~~~~~~~~~~", "sub-process(es) done."

PORTS["000-12_pool_async"] = {
  needs = {"Pool"}, second = 0.1, lines = joined(numbered(0, 3, "msg: hello %d"), list("end", 4, MARK, DONE)),
  order = function(lines)
    in_order(lines, {MARK, "end"})
    in_order(lines, {"end", "msg: hello 3"})
    is_last(lines, DONE)
    local running = 0
    for _, line in ipairs(lines) do
      running = running + (line:find("^msg") and 1 or line == "end" and -1 or 0)
      assert(running <= 3, "more than three at once")
    end
  end,
}

PORTS["000-13_pool_apply"] = {
  needs = {"Pool"}, second = 0.02, exact = true,
  lines = joined(numbered(0, 3, "msg: hello %d", "end"), {MARK, DONE}),
}

PORTS["000-14_pool_results"] = {
  needs = {"Pool"}, second = 0.05,
  lines = joined(numbered(0, 2, "msg: hello %d", "end", "::: donehello %d"), {DONE}),
  order = function(lines)
    assert.same(numbered(0, 2, "::: donehello %d"), table.move(lines, 7, 9, 1, {}))
    is_last(lines, DONE)
  end,
}

PORTS["000-15_pool_functions"] = {
  needs = {"Pool"}, second = 0.02,
  normal = {{"process %d+", "process PID"}, {"^(run task %a+)-%d+", "%1-PID"}, SECONDS,
    {"drawn: %S+", "drawn: X"}},
  lines = list("parent process PID", "waiting for all subprocesses done...",
    "run task lee-PID", "run task marlon-PID", "run task allen-PID", "run task frank-PID",
    "task lee, runs N seconds.", "task marlon runs N seconds.", "task allen runs N seconds.",
    "task frank runs N seconds.", "drawn: X", 4, "all subprocesses done."),
  order = function(lines)
    for _, name in ipairs {"lee", "marlon", "allen", "frank"} do
      in_order(lines, {"parent process", "run task " .. name, "task " .. name, "drawn"})
    end
    is_last(lines, "all subprocesses done.")
    at_most(4, captured(lines, "^run task %a+%-(%d+)"))
    local drawn = captured(lines, "^drawn: (%S+)")
    table.sort(drawn)
    for i = 2, 4 do assert.is_not.equal(drawn[i - 1], drawn[i]) end
  end,
}

local FIVE = list("测试Python多进程", 5, "结束测试")
PORTS["001-01_five_processes"] = {needs = {"Process"}, exact = true, lines = FIVE}
PORTS["001-02_subclass"] = {needs = {"Process"}, exact = true, lines = FIVE}

PORTS["001-03_queue"] = {
  needs = {"Process", "Queue"},
  lines = joined(numbered(0, 2, "子进程%d 开始put数据", "我是%d 通过Queue通信"),
    {"主进程获取Queue数据", "结束测试"}),
  order = function(lines)
    assert.equal("主进程获取Queue数据", lines[4])
    for i = 5, 7 do assert.truthy(lines[i]:find("^我是")) end
    is_last(lines, "结束测试")
  end,
}

PORTS["001-04_pipe"] = {
  needs = {"Process", "Pipe"},
  lines = {"主进程接受消息:", "你好主进程", "主进程发送消息:", "子进程发送消息:", "子进程接受消息:",
    "你好子进程", "结束测试"},
  order = function(lines)
    in_order(lines, {"主进程接受消息:", "你好主进程", "主进程发送消息:", "你好子进程", "结束测试"})
    in_order(lines, {"子进程发送消息:", "子进程接受消息:", "你好子进程"})
    in_order(lines, {"子进程发送消息:", "你好主进程"})
    is_last(lines, "结束测试")
  end,
}

PORTS["001-06_pool"] = {
  needs = {"Pool"}, second = 0.1, normal = {{"%(%d+%)", "(PID)"}, SECONDS},
  lines = joined(numbered(0, 9, "Run task %d (PID)...", "Task %d runs N seconds."), {"结束测试"}),
  order = function(lines)
    at_most(5, captured(lines, "%((%d+)%)"))
    inside(lines, "^Run task (%d)", "^Task (%d)", 5)
    is_last(lines, "结束测试")
  end,
}

PORTS["002-01_hello"] = {needs = {"Process"}, exact = true, lines = {"hello zhangyanlin"}}

PORTS["002-02_value_array"] = {
  needs = {"Process", "Value", "Array"}, exact = true,
  lines = joined({"3.333333333333333"}, numbered(0, 10, "%d")),
}

-- No terminal: the child may outlive its parent, and a terminal hangs up when its first user ends.
PORTS["003-01_fork"] = {needs = {"fork"}, no_terminal = true, lines = {"子进程", "父进程"}}

PORTS["003-02_process_join"] = {
  needs = {"Process"}, second = 0.02, exact = true,
  lines = list("--test--aaa\t18", 5, "子进程结束", "主进程结束"),
}

PORTS["003-03_subclass_loop"] = {
  needs = {"Process"}, second = 0.05, normal = {{"%(%d+%)", "(PID)"}},
  lines = list("子进程(PID)开始执行,父进程(PID)", "--1--", 5, "main", "--main--", 5),
  order = function(lines)
    in_order(lines, {"main", "--main--"})
    in_order(lines, {"子进程(", "--1--"})
    look.overlap(lines, "--1--", "--main--")
  end,
}

PORTS["003-04_pool"] = {
  needs = {"Pool"}, second = 0.05, normal = {{"pid=%d+", "pid=PID"}},
  lines = numbered(0, 9, "---%d--", "----pid=PID num=%d---"),
  order = function(lines)
    at_most(3, captured(lines, "pid=(%d+)"))
    in_order(lines, numbered(0, 9, "---%d--"))
  end,
}

PORTS["004-01_process"] = {
  needs = {"Process"}, second = 0.05,
  lines = joined({"主"}, numbered(1, 2, "子进程%d is running", "子进程%d is done")),
  order = function(lines)
    for i = 1, 2 do
      in_order(lines, {("子进程%d is running"):format(i), ("子进程%d is done"):format(i)})
    end
  end,
}

PORTS["004-02_subclass"] = {
  needs = {"Process"}, second = 0.05, lines = {"主", "子进程1 is running", "子进程1 is done"},
  order = function(lines) in_order(lines, {"子进程1 is running", "子进程1 is done"}) end,
}

PORTS["004-03_pid"] = {
  needs = {"Process"}, second = 0.05,
  normal = {{"^%d+ is", "PID is"}, {"<%d+>", "<PID>"}, {"主 %d+ %d+", "主 PID PID"}},
  lines = {"主 PID PID", "PID is running,parent id is <PID>", "PID is done,parent id is <PID>"},
  order = function(lines)
    local main = captured(lines, "主 (%d+)")[1]
    assert.same({main, main}, captured(lines, "parent id is <(%d+)>"))
    local child = captured(lines, "^(%d+) is")
    assert.equal(child[1], child[2])
    assert.is_not.equal(main, child[1])
    assert.truthy(lines[1]:find("^主") or lines[2]:find("^主"), "main waited for the child")
  end,
}

PORTS["004-04_join"] = {
  needs = {"Process"}, second = 0.05, exact = true,
  normal = {{"^%d+ ", "PID "}, {"<%d+>", "<PID>"}, {"主 %d+ %d+", "主 PID PID"}},
  lines = {"PID is running,parent id is <PID>", "PID is done,parent id is <PID>", "主 PID PID",
    "PID false"},
  order = function(lines)
    local child, main = lines[1]:match("^(%d+)"), lines[3]:match("主 (%d+)")
    assert.equal(child .. " false", lines[4])
    assert.same({main, main}, captured(lines, "parent id is <(%d+)>"))
  end,
}

PORTS["004-05_three_joins"] = {
  needs = {"Process"}, second = 0.2, normal = {{"主 %d+%.%d+", "主 N"}},
  lines = joined(numbered(1, 3, "子进程%d is running"), {"主 N"}),
  order = function(lines, run)
    local took, longest = tonumber(lines[#lines]:match("主 (%S+)")), 5 * run.second
    assert(took >= longest and took < longest + helper.TOLERANCE, "it took " .. took)
  end,
}

PORTS["004-06_terminate"] = {
  needs = {"Process"}, second = 2, exact = true, normal = {{"^true$", "false"}},
  lines = {"false", "开始", "false"}, may = {"egon1 is piaoing"},
  order = function(lines) is_last(lines, "false") end,
}

PORTS["004-07_daemon_class"] = {
  needs = {"Process"}, second = 2, exact = true, may = {"egon is piaoing"},
  lines = {"false\tProcessError\tdaemonic processes are not allowed to have children", "主"},
}

PORTS["004-08_daemon_puzzle"] = {
  needs = {"Process"}, second = 0.5, lines = {"main-------", "456", "end456"}, may = {"123"},
  order = function(lines) in_order(lines, {"456", "end456"}) end,
}

PORTS["004-09_mutex"] = {
  needs = {"Process", "Lock"}, second = 0.05,
  lines = joined({"主:"}, numbered(0, 2, "进程%d 1", "进程%d 2", "进程%d 3")),
  order = function(lines)
    local turns = captured(lines, "进程(%d %d)")
    for i = 1, 9, 3 do
      local who = turns[i]:match("^%d")
      assert.same({who .. " 1", who .. " 2", who .. " 3"}, table.move(turns, i, i + 2, 1, {}))
    end
  end,
}

-- The tutorial's own pace: it relies on one second being enough for ten children to have started.
PORTS["004-10_tickets"] = {
  needs = {"Process", "Lock"}, second = 1, normal = {{"路人%d> 购票成功", "路人N> 购票成功"}},
  lines = joined({"<路人N> 购票成功"}, numbered(0, 9, "<路人%d> 查看到剩余票数【1】")),
  file = "", after = function(text) assert.equal('{"count": 0}\n', text) end,
}

PORTS["004-11_queue"] = {
  needs = {"Queue", "repr"}, second = 0.05, exact = true, normal = {{" ", ""}},
  lines = {"true", "hello", "{a=1}", "{3,3,3}", "true", "false\tEmpty"},
}

PORTS["004-12_producers_consumers"] = {
  needs = {"Process", "Queue"}, second = 0.05,
  lines = joined({"主"}, list("生产者生产了包子0", 3, "生产者生产了包子1", 3, "生产者生产了包子2", 3,
    "消费者吃了包子0", 3, "消费者吃了包子1", 3, "消费者吃了包子2", 3)),
  order = function(lines)
    eaten_once(lines, "^生产者生产了(.+)", "^消费者吃了(.+)")
    local before = table.move(lines, 1, at(lines, "主"), 1, {})
    assert.equal(9, #captured(before, "^生产者生产了(.+)"))
  end,
}

PORTS["004-13_joinable_queue"] = {
  needs = {"Process", "JoinableQueue"}, second = 0.05,
  lines = list("生产者生产了包子0", 3, "生产者生产了包子1", 3, "消费者吃了包子0", 3,
    "消费者吃了包子1", 3, "主"),
  order = function(lines)
    eaten_once(lines, "^生产者生产了(.+)", "^消费者吃了(.+)")
    is_last(lines, "主")
  end,
}

PORTS["004-14_semaphore"] = {
  needs = {"Process", "Semaphore"}, second = 0.05,
  lines = joined({"============》"}, numbered(0, 12, "user%d 占到一个茅坑", "user%d 出来了")),
  order = function(lines)
    inside(lines, "(%S+) 占到一个茅坑", "(%S+) 出来了", 5)
    is_last(lines, "============》")
  end,
}

PORTS["004-15_traffic_lights"] = {
  needs = {"Process", "Event"}, second = 0.05, normal = {{"灯的是%a+", "灯的是X"}},
  lines = joined({"============》"},
    numbered(0, 4, "\27[31m红灯亮\27[0m,car%d等着", "灯的是X,警车走了,car %d")),
  order = function(lines) inside(lines, "car(%d)等着", "^灯的是%a+,警车走了,car (%d)", 5) end,
}

local SQUARES = {"0", "1", "4", "9", "16", "25", "36", "49", "64", "81"}
local DOUBLE = "========================"

PORTS["004-16_pool_apply"] = {
  needs = {"Pool", "repr"}, second = 0.1, exact = true, normal = {{"^%d+ is", "PID is"}},
  lines = list("PID is runnung", 10, DOUBLE, "{" .. table.concat(SQUARES, ", ") .. "}"),
  order = function(lines) at_most(3, captured(lines, "^(%d+) is")) end,
}

PORTS["004-17_pool_apply_async"] = {
  needs = {"Pool"}, second = 1, normal = {{"^%d+ is", "PID is"}},
  lines = joined(list("PID is runnung", 10, DOUBLE), SQUARES),
  order = function(lines)
    at_most(3, captured(lines, "^(%d+) is"))
    assert(at(lines, DOUBLE) <= 10, "the program waited for its tasks")
    assert.same(SQUARES, table.move(lines, 12, 21, 1, {}))
  end,
}

PORTS["004-20_executor"] = {
  needs = {"futures.ProcessPoolExecutor"}, second = 0.05, normal = {{"pid:%d+", "pid:PID"}},
  lines = joined(numbered(0, 9, "name:egon%d pid:PID run"), {"主"}),
  order = function(lines)
    at_most(4, captured(lines, "pid:(%d+)"))
    is_last(lines, "主")
  end,
}

PORTS["004-21_synchronous"] = {
  needs = {"Pool", "futures.ProcessPoolExecutor"}, exact = true,
  lines = {"Pool.apply 332833500", "submit.result 332833500", "Pool.apply_async 332833500",
    "submit 332833500"},
}

return PORTS
