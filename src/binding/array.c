/*
** Array and RawArray: shared numbers of one type, indexed from 1.
*/
#include <string.h>

#include "nouns.h"
#include "view.h"

/* ---- elements ---- */

static int array_at(lua_State *L, struct mp_lua_view *v, lua_Integer i) {
  if (i < 1 || (lua_Unsigned)i > v->count) return 0;
  return mp_lua_view_get(L, v, (size_t)i - 1);
}

static bool is_text(const struct mp_lua_view *v) {
  return v->code == 'c' || v->code == 'u';
}

/* Pushes n elements from `first` on as a list, or as a string. */
static void push_span(lua_State *L, struct mp_lua_view *v, size_t first, size_t n) {
  mp_number_type t = {0, 0, 0, 0};
  (void)mp_array_type(v->code, &t);
  void *elements = lua_newuserdatauv(L, n * t.size + 1, 0);
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_read(v->base.handle, first, n, elements);
  mp_lua_view_leave(v, entered);
  mp_lua_result(L, r, "Array");
  mp_lua_numbers_push(L, v->code, elements, n);
  lua_remove(L, -2);
}

/* `value` is the string up to the first zero, `raw` all of it. */
static int text_get(lua_State *L, struct mp_lua_view *v, bool whole) {
  size_t length;
  push_span(L, v, 0, v->count);
  const char *s = lua_tolstring(L, -1, &length);
  const char *end = whole ? NULL : (const char *)memchr(s, 0, length);
  if (end != NULL) lua_pushlstring(L, s, (size_t)(end - s));
  return 1;
}

/* Which string field the key names: 0 none, else its first letter. */
static int text_field(lua_State *L, const struct mp_lua_view *v) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (!is_text(v)) return 0;
  if (strcmp(key, "value") == 0) return 'v';
  return v->code == 'c' && strcmp(key, "raw") == 0 ? 'r' : 0;
}

static int array_index_of(lua_State *L, const struct mp_lua_type *type) {
  int whole = 0;
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_Integer i = lua_tointegerx(L, 2, &whole);
    struct mp_lua_view *v = mp_lua_view_check(L, type);
    return whole ? array_at(L, v, i) : 0;
  }
  lua_pushvalue(L, 2);
  if (lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  struct mp_lua_view *v = mp_lua_view_check(L, type);
  int field = text_field(L, v);
  return field == 0 ? 0 : text_get(L, v, field == 'r');
}
static int array_index(lua_State *L) {
  return array_index_of(L, &mp_lua_array_type);
}
static int raw_array_index(lua_State *L) {
  return array_index_of(L, &mp_lua_raw_array_type);
}

static int out_of_range(lua_State *L, const struct mp_lua_view *v, lua_Integer i) {
  return mp_lua_raise(L, "ValueError", "%s '%c': position %I is out of its range, 1 to %I",
                      mp_lua_handle_type(&v->base)->name, v->code, (LUAI_UACINT)i,
                      (LUAI_UACINT)v->count);
}

/* Writes packed elements; all of them are in range. */
static void write_span(lua_State *L, struct mp_lua_view *v, size_t first, size_t n,
                       const void *elements) {
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_write(v->base.handle, first, n, elements);
  mp_lua_view_leave(v, entered);
  mp_lua_result(L, r, "Array");
}

/* Replaces the beginning by the string at 3, and ends it with a zero where there is room. */
static int text_set(lua_State *L, struct mp_lua_view *v, bool whole) {
  struct mp_lua_site site = mp_lua_view_whole(v);
  size_t n;
  if (lua_type(L, 3) != LUA_TSTRING)
    return mp_lua_raise(L, "TypeError", "%s '%c': a string is needed, not %s", site.what, v->code,
                        mp_lua_show(L, 3));
  if (!whole) { /* followed by a zero: an element more */
    lua_pushvalue(L, 3);
    lua_pushlstring(L, "", 1);
    lua_concat(L, 2);
    lua_replace(L, 3);
  }
  const void *elements = mp_lua_numbers_pack(L, 3, &site, &n);
  if (n - !whole > v->count)
    return mp_lua_raise(L, "ValueError", "%s '%c': a string of %I is too long for %I elements",
                        site.what, v->code, (LUAI_UACINT)(n - !whole), (LUAI_UACINT)v->count);
  write_span(L, v, 0, n > v->count ? v->count : n, elements);
  return 0;
}

static int array_newindex_of(lua_State *L, const struct mp_lua_type *type) {
  struct mp_lua_view *v = mp_lua_view_check(L, type);
  int whole = 0, field;
  lua_Integer i = lua_type(L, 2) == LUA_TNUMBER ? lua_tointegerx(L, 2, &whole) : 0;
  if (whole && i >= 1 && (lua_Unsigned)i <= v->count)
    return mp_lua_view_set(L, v, (size_t)i - 1, 3);
  if (whole) return out_of_range(L, v, i);
  field = text_field(L, v);
  return field == 0 ? mp_lua_no_field(L) : text_set(L, v, field == 'r');
}
static int array_newindex(lua_State *L) {
  return array_newindex_of(L, &mp_lua_array_type);
}
static int raw_array_newindex(lua_State *L) {
  return array_newindex_of(L, &mp_lua_raw_array_type);
}

/* ---- as a whole ---- */

static struct mp_lua_view *array_check(lua_State *L) {
  return mp_lua_view_either(L, &mp_lua_array_type, &mp_lua_raw_array_type);
}

static int array_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)array_check(L)->count);
  return 1;
}

static int array_next(lua_State *L) {
  lua_Integer i = luaL_checkinteger(L, 2) + 1;
  lua_pushinteger(L, i);
  return array_at(L, array_check(L), i) == 0 ? 0 : 2;
}

static int array_pairs(lua_State *L) {
  (void)array_check(L);
  lua_pushcfunction(L, array_next);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* slice([i [, j]]): positions as those of string.sub. */
static int array_slice(lua_State *L) {
  struct mp_lua_view *v = array_check(L);
  struct mp_lua_span span = mp_lua_span(L, 2, v->count);
  push_span(L, v, span.first, span.count);
  return 1;
}

/* assign(i, list) */
static int array_assign(lua_State *L) {
  struct mp_lua_view *v = array_check(L);
  struct mp_lua_site site = mp_lua_view_whole(v);
  lua_Integer i = mp_lua_position(L, 2, 0);
  size_t n;
  if (lua_isnoneornil(L, 2)) mp_lua_raise_type(L, 2, "integer");
  const void *elements = mp_lua_numbers_pack(L, 3, &site, &n);
  if (i < 1 || (lua_Unsigned)i > v->count + 1) return out_of_range(L, v, i);
  if (n > v->count - ((size_t)i - 1)) return out_of_range(L, v, i - 1 + (lua_Integer)n);
  write_span(L, v, (size_t)i - 1, n, elements);
  return 0;
}

/* ---- making them ---- */

static int array_make(lua_State *L, const char *what, bool may_lock) {
  struct mp_lua_site site = {what, mp_lua_code_check(L, 1), 0};
  mp_array_options o = {.code = site.code};
  bool fresh = false;
  if (lua_isnoneornil(L, 2)) mp_lua_raise_type(L, 2, "count, list or iterator function");
  if (may_lock) o.lock = mp_lua_view_lock_option(L, 3, &fresh);
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_Integer n = mp_lua_position(L, 2, 0);
    if (n < 0)
      mp_lua_raise(L, "ValueError", "%s '%c': a count of %I", what, site.code, (LUAI_UACINT)n);
    o.count = (size_t)n;
  } else {
    o.elements = mp_lua_numbers_pack(L, 2, &site, &o.count);
  }
  return mp_lua_view_make(L, o, fresh);
}
static int array_new(lua_State *L) {
  return array_make(L, "Array", true);
}
static int raw_array_new(lua_State *L) {
  return array_make(L, "RawArray", false);
}

static const luaL_Reg array_methods[] = {
    {"slice", array_slice},           {"assign", array_assign},
    {"close", mp_lua_view_close},     {"get_lock", mp_lua_view_get_lock},
    {"get_obj", mp_lua_view_get_obj}, {NULL, NULL}};
static const luaL_Reg raw_array_methods[] = {
    {"slice", array_slice}, {"assign", array_assign}, {"close", mp_lua_view_close}, {NULL, NULL}};
static const luaL_Reg array_metamethods[] = {{"__index", array_index},
                                             {"__newindex", array_newindex},
                                             {"__len", array_len},
                                             {"__pairs", array_pairs},
                                             {NULL, NULL}};
static const luaL_Reg raw_array_metamethods[] = {{"__index", raw_array_index},
                                                 {"__newindex", raw_array_newindex},
                                                 {"__len", array_len},
                                                 {"__pairs", array_pairs},
                                                 {NULL, NULL}};
static const luaL_Reg array_functions[] = {
    {"Array", array_new}, {"RawArray", raw_array_new}, {NULL, NULL}};

void mp_lua_open_array(lua_State *L) {
  mp_lua_view_type(L, &mp_lua_array_type, array_methods, array_metamethods);
  mp_lua_view_type(L, &mp_lua_raw_array_type, raw_array_methods, raw_array_metamethods);
  mp_lua_functions(L, array_functions);
}
