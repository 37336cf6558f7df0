/* A host that embeds Lua and links the library: no package.path, no core.so. It runs its
** argument. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int luaopen_multiprocessing(lua_State *L);

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  int bad = argc != 2 || luaL_dostring(L, "package.path, package.cpath = '', ''");
  if (!bad) {
    luaL_requiref(L, "multiprocessing", luaopen_multiprocessing, 0);
    bad = luaL_dostring(L, argv[1]);
  }
  if (bad) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return bad;
}
