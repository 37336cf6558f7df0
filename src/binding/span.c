/*
** Spans: which part of a sequence two positions in the manner of string.sub name.
*/
#include "binding.h"

lua_Integer mp_lua_position(lua_State *L, int arg, lua_Integer otherwise) {
  int whole;
  if (lua_isnoneornil(L, arg)) return otherwise;
  lua_Integer i = lua_tointegerx(L, arg, &whole);
  if (!whole || lua_type(L, arg) != LUA_TNUMBER) mp_lua_raise_type(L, arg, "integer");
  return i;
}

struct mp_lua_span mp_lua_span(lua_State *L, int arg, size_t length) {
  lua_Integer n = (lua_Integer)length;
  lua_Integer i = mp_lua_position(L, arg, 1), j = mp_lua_position(L, arg + 1, -1);
  if (i < 0) i = i < -n ? 1 : n + i + 1;
  if (i == 0) i = 1;
  if (j < 0) j = j < -n ? 0 : n + j + 1;
  if (j > n) j = n;
  if (i > j) return (struct mp_lua_span){0, 0};
  return (struct mp_lua_span){(size_t)i - 1, (size_t)(j - i + 1)};
}
