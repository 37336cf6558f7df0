/*
** Parcels: Lua values on their way out and in, between the codec and the core.
**
** The codec says where in the bytes the tickets of shared objects are; the core wants them as an
** array, to count them. Errors of this module travel as one class, "multiprocessing.Error", whose
** packed form is the kind's name and the fields: so a receiver that has not loaded errors.lua yet
** can unpack one.
*/
#include <string.h>

#include "binding.h"
#include "nouns.h"

#define ERROR_CLASS "multiprocessing.Error"

/* ---- the codec's hooks ---- */

static int hook_ticket(lua_State *L, int index, uint64_t out[2]) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, index);
  if (u == NULL) return 0;
  const struct mp_lua_type *type = mp_lua_handle_type(u);
  if (type->stays != NULL)
    lua_pushstring(L, type->stays);
  else if (u->handle == NULL)
    lua_pushfstring(L, "a closed %s cannot be sent", type->name);
  if (type->stays != NULL || u->handle == NULL) return -1;
  (void)mp_lua_context(L);
  mp_ticket t = mp_handle_ticket(u->handle);
  memcpy(out, t.word, sizeof t.word);
  return 1;
}

static void hook_raise(lua_State *L, const char *kind) {
  mp_lua_raise_text(L, kind);
}

/* unpack(kind, fields) of the class of errors: the fields become the error. */
static int error_unpack(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  mp_lua_require(L, "multiprocessing.errors");
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  if (!lua_istable(L, -1)) mp_lua_raise(L, "SerializationError", "an error of an unknown kind");
  lua_getfield(L, -1, "metatable");
  lua_setmetatable(L, 2);
  lua_settop(L, 2);
  return 1;
}

/* pack(err): its kind, and its fields in a table without a metatable. */
static int error_pack(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "kind");
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, 3);
  }
  return 2;
}

/* Registers the metatable on top of the stack, which it takes, as one of errors. */
static void register_error(lua_State *L) {
  lua_pushcfunction(L, mp_codec_register_class);
  lua_insert(L, -2);
  lua_pushliteral(L, ERROR_CLASS);
  lua_insert(L, -2);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, error_pack);
  lua_setfield(L, -2, "pack");
  lua_pushcfunction(L, error_unpack);
  lua_setfield(L, -2, "unpack");
  lua_call(L, 3, 0);
}

/* ---- out and in ---- */

/* The tickets in the encoded bytes, as an array: in the parcel, or in a userdata that is pushed. */
static const mp_ticket *gather(lua_State *L, struct mp_lua_parcel *p) {
  size_t n = p->view.ticket_count;
  mp_ticket *all = p->few;
  if (n > MP_COUNT_OF(p->few)) all = (mp_ticket *)lua_newuserdatauv(L, n * sizeof *all, 0);
  for (size_t i = 0; i < n; i++)
    memcpy(&all[i], p->view.bytes + p->view.tickets[i], sizeof *all);
  return all;
}

/* What was encoded becomes a parcel. */
static void pack(lua_State *L, struct mp_lua_parcel *out) {
  struct mp_parcel p = {.bytes = out->view.bytes, .length = out->view.size,
                        .tail = out->view.tail, .tail_length = out->view.tail_size,
                        .ticket_count = out->view.ticket_count};
  p.tickets = gather(L, out);
  out->parcel = p;
}

void mp_lua_encode(lua_State *L, const struct mp_codec_request *what, struct mp_lua_parcel *out) {
  mp_codec_encode(L, what, &out->view);
  pack(L, out);
}

void mp_lua_encode_carry(lua_State *L, const struct mp_codec_request *what, int present,
                         struct mp_lua_parcel *out) {
  mp_codec_encode_carry(L, what, present, &out->view);
  pack(L, out);
}

void mp_lua_encode_slice(lua_State *L, const struct mp_codec_request *what,
                         const lua_Integer range[2], int present, struct mp_lua_parcel *out) {
  mp_codec_encode_slice(L, what, range, present, &out->view);
  pack(L, out);
}

int mp_lua_decode(lua_State *L, const void *bytes, size_t size, unsigned mode) {
  return mp_codec_decode(L, bytes, size, mode);
}

struct receipt {
  const mp_letter *letter;
  unsigned mode;
};

static int receive_protected(lua_State *L) {
  const struct receipt *r = (const struct receipt *)lua_touserdata(L, 1);
  lua_settop(L, 0);
  return mp_lua_decode(L, r->letter->parcel.bytes, r->letter->parcel.length, r->mode);
}

/* A small letter is a copy on the C stack; any other is a block that is ours to free. */
int mp_lua_receive(lua_State *L, mp_letter *letter, unsigned mode) {
  if (letter->block == MP_NONE)
    return mp_lua_decode(L, letter->parcel.bytes, letter->parcel.length, mode);
  struct mp_context *c = mp_lua_state_of(L)->context;
  struct receipt r = {letter, mode};
  int base = lua_gettop(L), error = LUA_ERRMEM;
  if (lua_checkstack(L, 4)) {
    lua_pushcfunction(L, receive_protected);
    lua_pushlightuserdata(L, &r);
    error = lua_pcall(L, 1, LUA_MULTRET, 0);
  }
  mp_letter_free(c, letter);
  if (error != LUA_OK) return lua_gettop(L) > base ? lua_error(L) : luaL_error(L, "stack overflow");
  return lua_gettop(L) - base;
}

/* ---- functions for Lua ---- */

static int parcel_decode(lua_State *L) {
  if (lua_type(L, 1) != LUA_TSTRING) mp_lua_raise_type(L, 1, "string");
  return mp_codec_lua_decode(L);
}

static void check_register(lua_State *L, int options) {
  static const struct mp_lua_option names[] = {
    {"pack", MP_LUA_FUNCTION}, {"unpack", MP_LUA_FUNCTION}, {NULL, MP_LUA_ANY}};
  if (lua_type(L, 1) != LUA_TSTRING) mp_lua_raise_type(L, 1, "string");
  if (options == 3 && !lua_istable(L, 2)) mp_lua_raise_type(L, 2, "table");
  lua_settop(L, options);
  if (lua_isnil(L, options) && options == 3) return;
  if (!lua_istable(L, options)) mp_lua_raise_type(L, options, "table");
  lua_pushvalue(L, options);
  mp_lua_options(L, options + 1, names);
  if (lua_isnil(L, options + 1) != lua_isnil(L, options + 2) ||
      (options == 2 && lua_isnil(L, options + 1)))
    mp_lua_raise(L, "TypeError", "pack and unpack must both be given");
  lua_settop(L, options);
}

/* register_class(name, class [, {pack =, unpack =}]) -> class */
static int parcel_register_class(lua_State *L) {
  check_register(L, 3);
  return mp_codec_register_class(L);
}

/* register_userdata(metatable_name, {pack =, unpack =}) */
static int parcel_register_userdata(lua_State *L) {
  check_register(L, 2);
  return mp_codec_register_userdata(L);
}

/* register_error(metatable): for errors.lua */
static int parcel_register_error(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  register_error(L);
  return 0;
}

static const luaL_Reg parcel_functions[] = {{"encode", mp_codec_lua_encode},
                                            {"decode", parcel_decode},
                                            {"register_class", parcel_register_class},
                                            {"register_userdata", parcel_register_userdata},
                                            {"register_error", parcel_register_error},
                                            {NULL, NULL}};

void mp_lua_open_parcel(lua_State *L) {
  static const struct mp_codec_hooks hooks = {hook_ticket, mp_lua_redeem, hook_raise};
  if (!mp_codec_is_ready(L)) {
    mp_codec_init(L, &hooks);
    lua_newtable(L); /* nothing has it as its metatable; the name is what is needed */
    register_error(L);
  }
  mp_lua_functions(L, parcel_functions);
}
