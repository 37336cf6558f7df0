/*
** What came along with functions and instances: globals and classes (globals.c writes them).
**
** The body is read first, and may be of classes that this state does not have. Each gets an empty
** table as its class then, which the definition fills in afterwards; a class without a definition
** is an error. Globals are set only where there is nothing of that name. Only trusted messages
** may bring either.
*/
#include <lauxlib.h>

#include "decode.h"

/* Pushes the table of classes that wait for their definition: name -> class. */
static void push_waiting(struct decoder *d) {
  if (lua_type(d->L, WAITING_INDEX(d)) == LUA_TNIL) {
    lua_createtable(d->L, 0, 2);
    lua_replace(d->L, WAITING_INDEX(d));
  }
  lua_pushvalue(d->L, WAITING_INDEX(d));
}

void mp_decode_waiting_class(struct decoder *d, const unsigned char *where) {
  lua_State *L = d->L;
  int name = lua_gettop(L);
  if (!(d->mode & MP_CODEC_CODE) || d->body == d->origin)
    mp_decode_fail(d, where, "class '%s' is not registered here", lua_tostring(L, name));
  push_waiting(d);
  lua_pushvalue(L, name);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushvalue(L, name);
    lua_createtable(L, 0, 4);
    lua_rawset(L, name + 1);
    lua_pushvalue(L, name);
    lua_rawget(L, name + 1);
  }
  lua_replace(L, name);
  lua_settop(L, name);
}

static void copy_fields(lua_State *L, int from, int to) {
  lua_pushnil(L);
  while (lua_next(L, from)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
}

/* register_class(name, class, {pack =, unpack =}) with parts 4 and 5 of the definition. */
static void register_class(lua_State *L, int definition, int class) {
  lua_pushcfunction(L, mp_codec_register_class);
  lua_rawgeti(L, definition, 1);
  lua_pushvalue(L, class);
  if (lua_rawgeti(L, definition, 4) == LUA_TFUNCTION) {
    lua_createtable(L, 0, 2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "pack");
    lua_rawgeti(L, definition, 5);
    lua_setfield(L, -2, "unpack");
  } else {
    lua_settop(L, -2);
    lua_pushnil(L);
  }
  lua_call(L, 3, 0);
}

/* The definition {name, fields, metatable, pack, unpack} is on top: fills its class in, if one
** waits for it. */
static void class_define(struct decoder *d) {
  lua_State *L = d->L;
  int definition = lua_gettop(L), class = definition + 1;
  if (lua_type(L, definition) != LUA_TTABLE) return;
  push_waiting(d);
  lua_rawgeti(L, definition, 1);
  if (!lua_isnil(L, -1) && lua_rawget(L, class) == LUA_TTABLE) {
    lua_replace(L, class);
    if (lua_rawgeti(L, definition, 2) == LUA_TTABLE) copy_fields(L, class + 1, class);
    lua_settop(L, class);
    if (lua_rawgeti(L, definition, 3) == LUA_TTABLE) lua_setmetatable(L, class);
    register_class(L, definition, class);
    push_waiting(d);
    lua_rawgeti(L, definition, 1);
    lua_pushnil(L);
    lua_rawset(L, -3);
  }
  lua_settop(L, definition);
}

/* The name and the value are on top. */
static void global_define(lua_State *L) {
  int name = lua_gettop(L) - 1;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_pushvalue(L, name);
  if (lua_rawget(L, name + 2) == LUA_TNIL) {
    lua_pushvalue(L, name);
    lua_pushvalue(L, name + 1);
    lua_rawset(L, name + 2);
  }
  lua_settop(L, name + 1);
}

/* Goes through the map on top: classes first, since they have to be whole before anything runs. */
static void extras_define(struct decoder *d, int classes) {
  lua_State *L = d->L;
  int extras = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, extras)) {
    if (classes && lua_isinteger(L, -2)) class_define(d);
    if (!classes && lua_type(L, -2) == LUA_TSTRING) global_define(L);
    lua_settop(L, extras + 1);
  }
}

static void check_none_waits(struct decoder *d) {
  lua_State *L = d->L;
  if (lua_type(L, WAITING_INDEX(d)) != LUA_TTABLE) return;
  lua_pushnil(L);
  if (lua_next(L, WAITING_INDEX(d)))
    mp_decode_fail(d, d->at, "class '%s' is not registered here", lua_tostring(L, -2));
}

void mp_decode_extras(struct decoder *d) {
  lua_State *L = d->L;
  const unsigned char *start = d->at;
  if (d->body != d->origin && d->at < d->end) {
    if (!(d->mode & MP_CODEC_CODE)) mp_decode_fail(d, start, "a global is not plain data");
    mp_decode_whole(d);
    if (lua_type(L, -1) != LUA_TTABLE) mp_decode_fail(d, start, "a map of globals is missing");
    extras_define(d, 1);
    extras_define(d, 0);
    lua_settop(L, -2);
  }
  check_none_waits(d);
}
