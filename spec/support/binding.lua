-- The core table with what spec/support/binding_module.c adds, in place of the library's own: to be
-- loaded before anything else requires "multiprocessing".
local build = os.getenv "BUILD" or "build"
if build == "build" then build = "build/test" end
package.cpath = build .. "/spec/?.so;" .. package.cpath
assert(not package.loaded["multiprocessing.core"], "the library's own core is loaded already")
package.loaded["multiprocessing.core"] = require "binding_test"
return require "multiprocessing.core"
