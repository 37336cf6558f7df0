/*
** The codec alone as a Lua module, for its specs: a small userdata stands for a shared object,
** and its number for the ticket.
**
**   encode(mode, root, ...) -> bytes, ticket offsets
**   decode(mode, bytes) -> values
**   present(names), object(n), register_class, register_userdata, data_encode, data_decode
*/
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "src/codec/codec.h"

#define OBJECT "codec_test.object"
#define PRESENT "codec_test.present"

/* The bytes of the last decode, in memory of exactly their size so that ASan guards its ends. */
static int decode(lua_State *L) {
  unsigned mode = (unsigned)luaL_checkinteger(L, 1);
  size_t n;
  const char *s = luaL_checklstring(L, 2, &n);
  void *copy = lua_newuserdatauv(L, n, 0);
  memcpy(copy, s, n);
  return mp_codec_decode(L, copy, n, mode);
}

static void push_offsets(lua_State *L, const struct mp_codec_view *view) {
  size_t i;
  lua_createtable(L, (int)view->ticket_count, 0);
  for (i = 0; i < view->ticket_count; i++) {
    lua_pushinteger(L, (lua_Integer)view->tickets[i] + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static int encode(lua_State *L) {
  struct mp_codec_request what = {3, lua_gettop(L) - 2, 0, NULL};
  struct mp_codec_view view;
  luaL_Buffer b;
  what.mode = (unsigned)luaL_checkinteger(L, 1);
  what.root = luaL_checkstring(L, 2);
  if (lua_getfield(L, LUA_REGISTRYINDEX, PRESENT) == LUA_TTABLE)
    mp_codec_encode_carry(L, &what, -1, &view);
  else
    mp_codec_encode(L, &what, &view);
  luaL_buffinit(L, &b);
  luaL_addlstring(&b, (const char *)view.bytes, view.size);
  luaL_addlstring(&b, (const char *)view.tail, view.tail_size);
  luaL_pushresult(&b);
  push_offsets(L, &view);
  mp_codec_release(&view);
  return 2;
}

/* Which globals need not go along: a table with their names as keys, or nil. */
static int present(lua_State *L) {
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, PRESENT);
  return 0;
}

static int object(lua_State *L) {
  lua_Integer *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = luaL_checkinteger(L, 1);
  luaL_setmetatable(L, OBJECT);
  return 1;
}

static int object_number(lua_State *L) {
  lua_pushinteger(L, *(lua_Integer *)luaL_checkudata(L, 1, OBJECT));
  return 1;
}

/* Negative numbers stand for objects that may not travel. */
static int ticket(lua_State *L, int index, uint64_t out[2]) {
  lua_Integer *p = luaL_testudata(L, index, OBJECT);
  if (!p) return 0;
  if (*p < 0) {
    lua_pushliteral(L, "a Pool cannot be sent");
    return -1;
  }
  out[0] = (uint64_t)*p;
  out[1] = ~(uint64_t)*p;
  return 1;
}

static void redeem(lua_State *L, const uint64_t t[2]) {
  if (t[1] != ~t[0]) luaL_error(L, "a damaged ticket");
  lua_pushcfunction(L, object);
  lua_pushinteger(L, (lua_Integer)t[0]);
  lua_call(L, 1, 1);
}

static const luaL_Reg functions[] = {{"encode", encode},
                                     {"decode", decode},
                                     {"present", present},
                                     {"object", object},
                                     {"number", object_number},
                                     {"register_class", mp_codec_register_class},
                                     {"register_userdata", mp_codec_register_userdata},
                                     {"data_encode", mp_codec_lua_encode},
                                     {"data_decode", mp_codec_lua_decode},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_codec_test(lua_State *L);

int luaopen_codec_test(lua_State *L) {
  static const struct mp_codec_hooks hooks = {ticket, redeem, NULL};
  mp_codec_init(L, &hooks);
  luaL_newmetatable(L, OBJECT);
  luaL_newlib(L, functions);
  return 1;
}
