/*
** Value and RawValue: one shared number, read and written as the field `value`.
*/
#include <errno.h>

#include "nouns.h"
#include "view.h"

/* ---- fields ---- */

/* Upvalues: the methods; "value". */
static inline int value_index_of(lua_State *L, const struct mp_lua_type *type) {
  if (mp_likely(lua_rawequal(L, 2, lua_upvalueindex(2))))
    return mp_lua_view_get(L, mp_lua_view_check(L, type), 0);
  lua_pushvalue(L, 2);
  lua_gettable(L, lua_upvalueindex(1));
  return 1;
}
static inline int value_newindex_of(lua_State *L, const struct mp_lua_type *type) {
  struct mp_lua_view *v = mp_lua_view_check(L, type);
  if (mp_likely(lua_rawequal(L, 2, lua_upvalueindex(2)))) return mp_lua_view_set(L, v, 0, 3);
  return mp_lua_no_field(L);
}
static int value_index(lua_State *L) {
  return value_index_of(L, &mp_lua_value_type);
}
static int value_newindex(lua_State *L) {
  return value_newindex_of(L, &mp_lua_value_type);
}
static int raw_value_index(lua_State *L) {
  return value_index_of(L, &mp_lua_raw_value_type);
}
static int raw_value_newindex(lua_State *L) {
  return value_newindex_of(L, &mp_lua_raw_value_type);
}

/* ---- atomic changes ---- */

static struct mp_lua_view *value_check(lua_State *L) {
  return mp_lua_view_either(L, &mp_lua_value_type, &mp_lua_raw_value_type);
}

static int value_add(lua_State *L) {
  struct mp_lua_view *v = value_check(L);
  struct mp_lua_site site = mp_lua_view_site(v, 0);
  mp_number sum = {0};
  if (v->code == 'c' || v->code == 'u')
    return mp_lua_raise(L, "TypeError", "%s '%c': a character cannot be added to", site.what,
                        v->code);
  struct mp_lua_site any = {site.what, v->code == 'f' || v->code == 'd' ? 'd' : 'q', 0};
  mp_number n = mp_lua_number_check(L, 2, &any); /* -1 is fine for an unsigned one */
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_add(v->base.handle, 0, n, &sum);
  mp_lua_view_leave(v, entered);
  if (r == -ERANGE) {
    const char *shown = mp_lua_show(L, 2);
    return mp_lua_raise(L, "ValueError", "%s '%c': %s more is out of its range", site.what, v->code,
                        shown);
  }
  mp_lua_result(L, r, site.what);
  mp_lua_number_push(L, v->code, sum);
  return 1;
}

static int value_exchange(lua_State *L) {
  struct mp_lua_view *v = value_check(L);
  struct mp_lua_site site = mp_lua_view_site(v, 0);
  mp_number n = mp_lua_number_check(L, 2, &site), was = {0};
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_exchange(v->base.handle, 0, n, &was);
  mp_lua_view_leave(v, entered);
  mp_lua_result(L, r, site.what);
  mp_lua_number_push(L, v->code, was);
  return 1;
}

static int value_compare_exchange(lua_State *L) {
  struct mp_lua_view *v = value_check(L);
  struct mp_lua_site site = mp_lua_view_site(v, 0);
  mp_number expected = mp_lua_number_check(L, 2, &site), n = mp_lua_number_check(L, 3, &site);
  int done = 0, entered = mp_lua_view_enter(L, v);
  int r = mp_array_compare_exchange(v->base.handle, 0, expected, n, &done);
  mp_lua_view_leave(v, entered);
  mp_lua_result(L, r, site.what);
  lua_pushboolean(L, done);
  return 1;
}

/* ---- making them ---- */

static int value_make(lua_State *L, const char *what, bool may_lock) {
  struct mp_lua_site site = {what, mp_lua_code_check(L, 1), 0};
  unsigned char element[8] = {0};
  mp_array_options o = {
      .code = site.code, .flags = MP_ARRAY_SCALAR, .count = 1, .elements = element};
  bool fresh = false;
  if (may_lock && lua_type(L, 2) == LUA_TTABLE && lua_isnone(L, 3)) {
    lua_settop(L, 2);
    lua_pushnil(L);
    lua_insert(L, 2); /* Value(code, {lock = false}) */
  }
  if (!lua_isnoneornil(L, 2))
    (void)mp_number_pack(site.code, mp_lua_number_check(L, 2, &site), element);
  if (may_lock) {
    lua_settop(L, lua_gettop(L) < 2 ? 2 : lua_gettop(L));
    o.lock = mp_lua_view_lock_option(L, 3, &fresh);
  }
  return mp_lua_view_make(L, o, fresh);
}
static int value_new(lua_State *L) {
  return value_make(L, "Value", true);
}
static int raw_value_new(lua_State *L) {
  return value_make(L, "RawValue", false);
}

static const luaL_Reg value_methods[] = {{"add", value_add},
                                         {"exchange", value_exchange},
                                         {"compare_exchange", value_compare_exchange},
                                         {"close", mp_lua_view_close},
                                         {"get_lock", mp_lua_view_get_lock},
                                         {"get_obj", mp_lua_view_get_obj},
                                         {NULL, NULL}};
static const luaL_Reg raw_value_methods[] = {{"add", value_add},
                                             {"exchange", value_exchange},
                                             {"compare_exchange", value_compare_exchange},
                                             {"close", mp_lua_view_close},
                                             {NULL, NULL}};
static const luaL_Reg value_metamethods[] = {
    {"__index", value_index}, {"__newindex", value_newindex}, {NULL, NULL}};
static const luaL_Reg raw_value_metamethods[] = {
    {"__index", raw_value_index}, {"__newindex", raw_value_newindex}, {NULL, NULL}};
static const luaL_Reg value_functions[] = {
    {"Value", value_new}, {"RawValue", raw_value_new}, {NULL, NULL}};

void mp_lua_open_value(lua_State *L) {
  mp_lua_view_type(L, &mp_lua_value_type, value_methods, value_metamethods);
  mp_lua_view_type(L, &mp_lua_raw_value_type, raw_value_methods, raw_value_metamethods);
  mp_lua_functions(L, value_functions);
}
