-- Writes the C source that carries the Lua layer inside the libraries: each file as bytes, and
-- luaopen_multiprocessing, which makes all of them loadable without any package.path.
-- usage: lua tools/embed.lua lua/multiprocessing/init.lua ... > embed.c

local function module_name(path)
  local name = path:match("([^/]+)%.lua$")
  return name == "init" and "multiprocessing" or "multiprocessing." .. name
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function bytes(text)
  local lines = {}
  for i = 1, #text, 24 do
    lines[#lines + 1] = "  " .. table.concat({text:byte(i, i + 23)}, ",")
  end
  return table.concat(lines, ",\n")
end

local function emit_sources(paths)
  for i, path in ipairs(paths) do
    io.write(("static const unsigned char source_%d[] = {\n%s\n};\n"):format(i, bytes(read(path) .. "\n")))
  end
end

local function emit_list(paths)
  io.write("static const struct embedded {\n  const char *name;\n  const char *chunk;\n",
    "  const unsigned char *text;\n  size_t size;\n} files[] = {\n")
  for i, path in ipairs(paths) do
    io.write(('  {"%s", "@%s", source_%d, sizeof source_%d},\n'):format(
      module_name(path), path:gsub("^lua/", ""), i, i))
  end
  io.write("  {NULL, NULL, NULL, 0}\n};\n")
end

io.write("/* Made by tools/embed.lua: the Lua layer, for hosts that link the library. */\n",
  "#include <stddef.h>\n#include <lua.h>\n#include <lauxlib.h>\n\n",
  "__attribute__((visibility(\"default\"))) int luaopen_multiprocessing(lua_State *L);\n",
  "int luaopen_multiprocessing_core(lua_State *L);\n\n")
emit_sources(arg)
emit_list(arg)
io.write([[

static int load_file(lua_State *L) { /* a loader, with the file as its upvalue */
  const struct embedded *file = lua_touserdata(L, lua_upvalueindex(1));
  if (luaL_loadbufferx(L, (const char *)file->text, file->size, file->chunk, "t") != LUA_OK)
    return lua_error(L);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

int luaopen_multiprocessing(lua_State *L) {
  const struct embedded *init = NULL;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const struct embedded *file = files; file->name != NULL; file++) {
    lua_pushlightuserdata(L, (void *)(size_t)file);
    lua_pushcclosure(L, load_file, 1);
    lua_setfield(L, -2, file->name);
    if (file->name[15] == '\0') init = file;
  }
  lua_pushcfunction(L, luaopen_multiprocessing_core);
  lua_setfield(L, -2, "multiprocessing.core");
  lua_pop(L, 1);
  if (init == NULL) return luaL_error(L, "this library was built without its Lua files");
  lua_pushlightuserdata(L, (void *)(size_t)init);
  lua_pushcclosure(L, load_file, 1);
  lua_pushliteral(L, "multiprocessing");
  lua_call(L, 1, 1);
  return 1;
}
]])
