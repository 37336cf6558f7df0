/*
** Options: arguments one by one, or one table in place of the first optional one.
**
** lua/multiprocessing/options.lua says the same things in the same words to constructors that are
** written in Lua.
*/
#include <math.h>
#include <string.h>

#include "binding.h"
#include "nouns.h"

#define NAME_MAX_SHOWN 40

/* ---- showing values ---- */

const char *mp_lua_show(lua_State *L, int index) {
  index = lua_absindex(L, index);
  switch (lua_type(L, index)) {
    case LUA_TSTRING: {
      size_t n;
      const char *s = lua_tolstring(L, index, &n);
      if (n <= NAME_MAX_SHOWN) return lua_pushfstring(L, "\"%s\"", s);
      lua_pushlstring(L, s, NAME_MAX_SHOWN);
      const char *shown = lua_pushfstring(L, "\"%s...\"", lua_tostring(L, -1));
      lua_remove(L, -2);
      return shown;
    }
    case LUA_TNUMBER: case LUA_TNIL: case LUA_TBOOLEAN: case LUA_TNONE:
      return luaL_tolstring(L, index, NULL);
    default:
      if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
        return lua_pushfstring(L, "a %s", lua_tostring(L, -1));
      return lua_pushfstring(L, "a %s", luaL_typename(L, index));
  }
}

/* ---- types ---- */

static const char *const type_names[] = {
  [MP_LUA_ANY] = "anything",          [MP_LUA_BOOLEAN] = "a boolean",
  [MP_LUA_INTEGER] = "an integer",    [MP_LUA_NUMBER] = "a number",
  [MP_LUA_SECONDS] = "a number",      [MP_LUA_STRING] = "a string",
  [MP_LUA_TABLE] = "a table",         [MP_LUA_FUNCTION] = "a function",
};

bool mp_lua_is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

bool mp_lua_is_list(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA) return lua_istable(L, index);
  if (luaL_getmetafield(L, index, "__len") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

static bool has_type(lua_State *L, int index, enum mp_lua_option_type type) {
  int t = lua_type(L, index), whole = 0;
  switch (type) {
    case MP_LUA_BOOLEAN: return t == LUA_TBOOLEAN;
    case MP_LUA_INTEGER:
      if (t == LUA_TNUMBER) (void)lua_tointegerx(L, index, &whole);
      return whole != 0;
    case MP_LUA_NUMBER: case MP_LUA_SECONDS: return t == LUA_TNUMBER;
    case MP_LUA_STRING: return t == LUA_TSTRING;
    case MP_LUA_TABLE: return t == LUA_TTABLE;
    case MP_LUA_FUNCTION: return mp_lua_is_callable(L, index);
    default: return true;
  }
}

static void check_type(lua_State *L, int index, const struct mp_lua_option *o) {
  if (lua_isnil(L, index)) return;
  if (!has_type(L, index, o->type))
    mp_lua_raise(L, "TypeError", "%s must be %s or nil, got %s", o->name, type_names[o->type],
                 mp_lua_show(L, index));
  if (o->type == MP_LUA_SECONDS && isnan(lua_tonumber(L, index)))
    mp_lua_raise(L, "ValueError", "%s must not be nan", o->name);
}

/* ---- names ---- */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* How many letters must change (be added, dropped, replaced) to make one of the other. */
static size_t distance(const char *a, const char *b) {
  size_t row[NAME_MAX_SHOWN + 1], n = least(strlen(b), NAME_MAX_SHOWN);
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 0; a[i] != '\0'; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 1; j <= n; j++) {
      size_t replaced = diagonal + (a[i] != b[j - 1]);
      diagonal = row[j];
      row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
    }
  }
  return row[n];
}

static const char *nearest(const struct mp_lua_option *options, const char *name) {
  const struct mp_lua_option *best = options;
  for (const struct mp_lua_option *o = options; o->name != NULL; o++)
    if (distance(o->name, name) < distance(best->name, name)) best = o;
  return best->name;
}

static void check_name(lua_State *L, int key, const struct mp_lua_option *options) {
  if (lua_type(L, key) != LUA_TSTRING)
    mp_lua_raise(L, "TypeError", "an option's name must be a string, got %s", mp_lua_show(L, key));
  const char *name = lua_tostring(L, key);
  for (const struct mp_lua_option *o = options; o->name != NULL; o++)
    if (strcmp(o->name, name) == 0) return;
  mp_lua_raise(L, "TypeError", "unknown option '%s' (did you mean '%s'?)", name,
               nearest(options, name));
}

/* ---- both forms ---- */

static int count_of(const struct mp_lua_option *options) {
  int n = 0;
  while (options[n].name != NULL) n++;
  return n;
}

/* Replaces the table at `first` by its options. */
static void spread(lua_State *L, int first, const struct mp_lua_option *options) {
  lua_settop(L, first);
  for (lua_pushnil(L); lua_next(L, first); lua_pop(L, 1)) check_name(L, first + 1, options);
  for (const struct mp_lua_option *o = options; o->name != NULL; o++) {
    lua_pushstring(L, o->name);
    lua_rawget(L, first);
  }
  lua_remove(L, first);
}

void mp_lua_options(lua_State *L, int first, const struct mp_lua_option *options) {
  int n = count_of(options);
  luaL_checkstack(L, n + 4, NULL);
  if (lua_istable(L, first)) spread(L, first, options);
  lua_settop(L, first + n - 1);
  for (int i = 0; i < n; i++) check_type(L, first + i, &options[i]);
}

/* ---- block and timeout ---- */

static const struct mp_lua_option timeout_option[] = {{"timeout", MP_LUA_SECONDS},
                                                      {NULL, MP_LUA_ANY}};
static const struct mp_lua_option block_options[] = {{"block", MP_LUA_BOOLEAN},
                                                     {"timeout", MP_LUA_SECONDS},
                                                     {NULL, MP_LUA_ANY}};

mp_deadline mp_lua_seconds(lua_State *L, int index, const char *name) {
  const struct mp_lua_option o = {name, MP_LUA_SECONDS};
  if (lua_isnoneornil(L, index)) return MP_FOREVER;
  check_type(L, index, &o);
  return mp_in(lua_tonumber(L, index));
}

mp_deadline mp_lua_timeout_slow(lua_State *L, int arg) {
  mp_lua_options(L, arg, timeout_option);
  return mp_lua_seconds(L, arg, "timeout");
}

mp_deadline mp_lua_block_timeout_slow(lua_State *L, int arg) {
  mp_lua_options(L, arg, block_options);
  if (!lua_isnil(L, arg) && !lua_toboolean(L, arg)) return MP_NOW;
  return mp_lua_seconds(L, arg + 1, "timeout");
}

/* ---- for constructors in Lua ---- */

/* A form: the options of one function, made once; the names are kept in its user value. */
struct form {
  int count;
  struct mp_lua_option option[];
};

static const char *const form_types[] = {"any",     "boolean", "integer", "number",  "seconds",
                                         "string",  "table",   "function", NULL};

/* The form's i-th option from "name:type" at argument i + 1. */
static void form_set(lua_State *L, struct form *form, int i, int names) {
  const char *text = luaL_checkstring(L, i + 1), *colon = strchr(text, ':');
  luaL_argcheck(L, colon != NULL, i + 1, "name:type expected");
  lua_pushstring(L, colon + 1);
  form->option[i].type =
    (enum mp_lua_option_type)luaL_checkoption(L, lua_gettop(L), NULL, form_types);
  form->option[i].name = lua_pushlstring(L, text, (size_t)(colon - text));
  lua_rawseti(L, names, i + 1);
  lua_pop(L, 1);
}

static int form_read(lua_State *L) {
  const struct form *form = (const struct form *)lua_touserdata(L, lua_upvalueindex(1));
  mp_lua_options(L, 1, form->option);
  return form->count;
}

/* options("target:function", "timeout:seconds", ...) -> a function that gives each one's value, or
** nil, from its arguments: one by one, or one table. */
static int options_form(lua_State *L) {
  int n = lua_gettop(L);
  luaL_argcheck(L, n > 0, 1, "an option expected");
  size_t size = sizeof(struct form) + (size_t)(n + 1) * sizeof(struct mp_lua_option);
  struct form *form = (struct form *)lua_newuserdatauv(L, size, 1);
  memset(form, 0, size);
  form->count = n;
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) form_set(L, form, i, n + 2);
  lua_setiuservalue(L, n + 1, 1);
  lua_pushcclosure(L, form_read, 1);
  return 1;
}

/* show(value): as messages show it. */
static int options_show(lua_State *L) {
  lua_settop(L, 1);
  mp_lua_show(L, 1);
  return 1;
}

/* refuse_self(value, expected, method): the method was called with a dot, and that in place of its
** object. */
static int options_refuse_self(lua_State *L) {
  const char *expected = luaL_checkstring(L, 2), *method = luaL_checkstring(L, 3);
  return mp_lua_raise(L, "TypeError", "bad argument #1 to '%s' (%s expected, got %s)", method,
                      expected, mp_lua_show(L, 1));
}

static const luaL_Reg options_functions[] = {{"options", options_form},
                                             {"show", options_show},
                                             {"refuse_self", options_refuse_self},
                                             {NULL, NULL}};

void mp_lua_open_options(lua_State *L) {
  mp_lua_functions(L, options_functions);
}
