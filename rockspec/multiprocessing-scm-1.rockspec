rockspec_format = "3.0"
package = "multiprocessing"
version = "scm-1"
source = {url = "git+file://."} -- `luarocks make` builds the tree that it stands in
description = {
  summary = "Python's multiprocessing for Lua",
  detailed = "Processes, pools, queues, locks, shared values and tables on one crash-proof shared memory.",
  license = "MIT",
}
supported_platforms = {"linux"}
dependencies = {"lua >= 5.4, < 5.6"}
build = {
  type = "builtin",
  modules = {
    ["multiprocessing.core"] = {
      sources = {
        "src/binding/handle.c",
        "src/binding/host.c",
        "src/binding/interrupt.c",
        "src/binding/module.c",
        "src/binding/options.c",
        "src/binding/result.c",
        "src/binding/session.c",
        "src/codec/decode.c",
        "src/codec/encode.c",
        "src/codec/extension.c",
        "src/codec/extras.c",
        "src/codec/function.c",
        "src/codec/globals.c",
        "src/codec/graph.c",
        "src/codec/load.c",
        "src/codec/name.c",
        "src/codec/proto.c",
        "src/codec/refuse.c",
        "src/codec/scan.c",
        "src/codec/share.c",
        "src/codec/state.c",
        "src/codec/table.c",
        "src/codec/text.c",
        "src/core/arena.c",
        "src/core/array.c",
        "src/core/check.c",
        "src/core/clock.c",
        "src/core/context.c",
        "src/core/error.c",
        "src/core/handle.c",
        "src/core/heap.c",
        "src/core/heap_run.c",
        "src/core/heap_small.c",
        "src/core/kinds.c",
        "src/core/lock.c",
        "src/core/message.c",
        "src/core/mutex.c",
        "src/core/object.c",
        "src/core/os_linux.c",
        "src/core/os_linux_bell.c",
        "src/core/os_linux_fd.c",
        "src/core/os_linux_limits.c",
        "src/core/os_linux_process.c",
        "src/core/os_posix.c",
        "src/core/park.c",
        "src/core/proctab.c",
        "src/core/trace.c",
      },
      defines = {"_GNU_SOURCE"},
      libraries = {"pthread"},
    },
    ["multiprocessing.class"] = "lua/multiprocessing/class.lua",
    ["multiprocessing.errors"] = "lua/multiprocessing/errors.lua",
    ["multiprocessing"] = "lua/multiprocessing/init.lua",
  },
}
test = {type = "busted"}
