/*
** The nouns: mp_lua_open_<noun> of each file adds its types and functions to the core table, which
** is on top of the stack. To add a noun is to add a line here. A type comes after the one that it
** is derived from.
*/
#ifndef MP_NOUNS_H
#define MP_NOUNS_H

#include <lua.h>

#define MP_LUA_NOUNS(open) \
  open(host)               \
  open(session)            \
  open(process)            \
  open(value)              \
  open(array)

#define MP_LUA_DECLARE(noun) void mp_lua_open_##noun(lua_State *L);
MP_LUA_NOUNS(MP_LUA_DECLARE)

#endif
