--- What is measured: the cases, who runs beside us in each, and the figure to reach.
--
-- A case is one small program on each side; a program prints one or several metrics. In each round
-- the sides run one after the other, in the order given here. `costs` compares times or sizes (ours
-- divided by theirs), `speed` compares rates (or theirs divided by ours, for times).

local function ours(program)
  return {name = "ours", command = "$LUA bench/lua/" .. program .. ".lua"}
end

local function python(program)
  return {name = "Python", command = "$PYTHON bench/python/" .. program .. ".py"}
end

local function floor(what, command)
  return {name = "C " .. what, command = "$BENCH/" .. command}
end

local function least(what, program)
  return {name = "least " .. what, command = "$LUA bench/least/" .. program:gsub("^%S+", "%0.lua")}
end

--- At least n times as fast as that side, in this metric or in another one.
local function speed(side, n, metric)
  return {side = side, speed = n, metric = metric}
end

--- At most n times that side's time or size.
local function costs(side, n, metric)
  return {side = side, costs = n, metric = metric}
end

local function at_most(n)
  return {at_most = n}
end

local function metric(name, unit, ...)
  return {name = name, unit = unit, targets = {...}}
end

return {
  {
    name = "start_join",
    sides = {ours "start_join", python "start_join", least("fork", "start_join"), floor("fork", "fork")},
    metrics = {metric("start_join", "us", costs("least fork", 1.3), speed("Python", 6))},
  },
  {
    name = "start_spawn",
    sides = {ours "start_spawn", python "start_spawn",
      {name = "empty lua", command = "$BENCH/whole start_spawn 30 $LUA -e ''"}},
    metrics = {metric("start_spawn", "ms")},
  },
  {
    name = "queue_small",
    sides = {ours "queue_small", python "queue_small", least("ring", "queue small"),
      floor("mutex+cond", "ring small")},
    metrics = {
      metric("queue_small", "/s", speed("Python", 18)),
      metric("queue_small_unbounded", "/s"),
    },
  },
  {
    name = "queue_table",
    sides = {ours "queue_table", python "queue_table", floor("mutex+cond", "ring table")},
    metrics = {metric("queue_table", "/s", speed("Python", 6.5))},
  },
  {
    name = "queue_1k",
    sides = {ours "queue_1k", python "queue_1k", least("ring", "queue 1k"),
      floor("mutex+cond", "ring 1k")},
    metrics = {metric("queue_1k", "/s", speed("Python", 10))},
  },
  {
    name = "queue_1m",
    sides = {ours "queue_1m", python "queue_1m", least("ring", "queue 1m"),
      floor("mutex+cond", "ring 1m")},
    metrics = {metric("queue_1m", "MB/s", speed("Python", 6))},
  },
  {
    name = "queue_mpmc",
    sides = {ours "queue_mpmc", python "queue_mpmc", floor("mutex+cond", "ring mpmc")},
    metrics = {metric("queue_mpmc", "/s", speed("Python", 10))},
  },
  {
    name = "pingpong",
    sides = {ours "pingpong", python "pingpong", least("spinning", "pingpong"),
      floor("socketpair", "pingpong socketpair"), floor("futex", "pingpong futex"),
      floor("spinning", "pingpong spin")},
    metrics = {
      metric("pingpong_pipe", "/s", speed("C socketpair", 0.9)),
      metric("pingpong_queues", "/s", speed("Python", 15, "pingpong_pipe")),
    },
  },
  {
    name = "lock_uncontended",
    sides = {ours "lock_uncontended", python "lock_uncontended", least("no-op pair", "pair pair"),
      least("lock", "pair lock"), floor("futex", "lock futex"), floor("robust", "lock robust")},
    metrics = {
      metric("lock_methods", "ns", costs("least no-op pair", 0.96)),
      metric("lock_locals", "ns", costs("least no-op pair", 1)),
    },
  },
  {
    name = "lock_contended",
    sides = {ours "lock_contended", python "lock_contended", least("lock", "pair lock"),
      floor("futex", "lock futex"), floor("robust", "lock robust")},
    metrics = {
      metric("lock_contended", "/s", speed("Python", 0.75)),
      metric("lock_contended_value", "/s"),
      metric("lock_contended_add", "/s"),
    },
  },
  {
    name = "value_rw",
    sides = {ours "value_rw", python "value_rw", least("field", "value_rw"),
      floor("robust", "lock value")},
    metrics = {
      metric("value_read", "ns", costs("Python", 0.75)),
      metric("value_write", "ns", costs("Python", 0.75)),
      metric("value_read_raw", "ns"),
      metric("value_write_raw", "ns"),
    },
  },
  {
    name = "array_rw",
    sides = {ours "array_rw", python "array_rw"},
    metrics = {
      metric("array_read", "ns"),
      metric("array_write", "ns"),
      metric("array_read_raw", "ns"),
      metric("array_write_raw", "ns"),
    },
  },
  {
    name = "dict",
    sides = {ours "dict", python "dict"},
    metrics = {
      metric("dict_set", "/s"),
      metric("dict_get", "/s"),
      metric("dict_set_4p", "/s"),
      metric("dict_get_4p", "/s"),
      metric("dict_set_table", "/s"),
      metric("dict_get_table", "/s"),
      metric("dict_set_4p_table", "/s"),
      metric("dict_get_4p_table", "/s"),
    },
  },
  {
    name = "pool_start",
    sides = {ours "pool_start", python "pool_start"},
    metrics = {metric("pool_start", "us", speed("Python", 8))},
  },
  {
    name = "pool_map",
    sides = {ours "pool_map", python "pool_map", least("loop", "pool_map")},
    metrics = {metric("pool_map", "/s", speed("Python", 1.1))},
  },
  {
    name = "pool_imap",
    sides = {ours "pool_imap", python "pool_imap"},
    metrics = {metric("pool_imap", "/s", speed("Python", 12))},
  },
  {
    name = "pool_apply_async",
    sides = {ours "pool_apply_async", python "pool_apply_async"},
    metrics = {metric("pool_apply_async", "/s", speed("Python", 16))},
  },
  {
    name = "pool_submit",
    sides = {ours "pool_submit", python "pool_submit"},
    metrics = {metric("pool_submit", "/s", speed("Python", 40))},
  },
  {
    name = "pool_1m",
    sides = {ours "pool_1m", python "pool_1m"},
    metrics = {metric("pool_1m", "MB/s", speed("Python", 4))},
  },
  {
    name = "pool_apply",
    sides = {ours "pool_apply", python "pool_apply", floor("futex there and back", "pingpong task")},
    metrics = {metric("pool_apply", "us", speed("Python", 10))},
  },
  {
    name = "pool_cpu",
    sides = {ours "pool_cpu", python "pool_cpu", least("forks", "pool_cpu")},
    metrics = {
      metric("pool_cpu_1", "ms"),
      metric("pool_cpu_2", "ms", speed("ours", 1.93, "pool_cpu_1")),
    },
  },
  {
    name = "codec",
    sides = {ours "codec", python "codec"},
    metrics = {
      metric("codec_small", "/s", speed("Python", 1.05)),
      metric("codec_ints", "/s", speed("Python", 0.5)),
      metric("codec_nested", "/s", speed("Python", 0.9)),
    },
  },
  {
    name = "memory",
    sides = {ours "memory", python "memory", least("fork", "memory")},
    metrics = {metric("memory", "KiB", at_most(300))},
  },
  {
    name = "import",
    sides = {
      ours "import",
      {name = "Python", command = "$BENCH/whole import 20 $PYTHON -c 'import multiprocessing'"},
      {name = "empty lua", command = "$BENCH/whole import 20 $LUA -e ''"},
    },
    metrics = {metric("import", "ms", costs("empty lua", 2.8))},
  },
}
