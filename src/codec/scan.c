/*
** The names of what the receiver can find by itself.
**
** Two weak tables map an object to its name. KNOWN holds modules, their functions and those of
** their tables that hold functions (classes), and the methods of registered userdata types; HELD
** other fields of modules (tables with metatables, sentinels such as cjson.null), which are used
** only where the value would be refused otherwise. Whoever uses a name checks that it still
** stands for the object, so the tables may be stale.
*/
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "name.h"

/* These come first, so that a module's copy of string.format does not stand in for the original. */
static const char *const standard[] = {
    LUA_GNAME,       LUA_COLIBNAME,   LUA_TABLIBNAME,  LUA_IOLIBNAME,   LUA_OSLIBNAME,
    LUA_STRLIBNAME,  LUA_UTF8LIBNAME, LUA_MATHLIBNAME, LUA_DBLIBNAME,   LUA_LOADLIBNAME};

/* Entries of a table that are looked at in search of a function. */
#define LOOK_AT 64

/* Where the names of a module's fields go. */
struct scan {
  lua_State *L;
  int known, held; /* stack indices */
  const char *module;
  size_t module_size; /* "\0type" for the methods of a userdata type */
};

/* Sets table[value at index] = the module's name or that of its field, unless it has one. */
static void name_add(const struct scan *s, int table, int value, int key) {
  lua_State *L = s->L;
  luaL_Buffer b;
  lua_pushvalue(L, value);
  if (lua_rawget(L, table) != LUA_TSTRING) {
    lua_pushvalue(L, value);
    luaL_buffinit(L, &b);
    luaL_addlstring(&b, s->module, s->module_size);
    if (key) {
      size_t n;
      const char *text = lua_tolstring(L, key, &n);
      luaL_addchar(&b, '\0');
      luaL_addlstring(&b, text, n);
    }
    luaL_pushresult(&b);
    lua_rawset(L, table);
  }
  lua_pop(L, 1);
}

static int has_function(lua_State *L, int table) {
  int top = lua_gettop(L), i;
  lua_pushnil(L);
  for (i = 0; i < LOOK_AT && lua_next(L, table); i++) {
    if (lua_type(L, -1) == LUA_TFUNCTION) {
      lua_settop(L, top);
      return 1;
    }
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return 0;
}

/* The table for the names of such a field; 0: it has none. What a program itself put into _G has
** no module; an open file is no part of one, but for io's three. */
static int table_for(const struct scan *s, int value) {
  lua_State *L = s->L;
  int globals = strcmp(s->module, LUA_GNAME) == 0;
  switch (lua_type(L, value)) {
    case LUA_TFUNCTION: return !globals || lua_iscfunction(L, value) ? s->known : 0;
    case LUA_TTABLE:
      if (globals) return 0;
      if (strcmp(s->module, LUA_LOADLIBNAME) == 0) return s->known;
      return has_function(L, value) ? s->known : s->held;
    case LUA_TUSERDATA:
      if (strcmp(s->module, LUA_IOLIBNAME) == 0) return s->held;
      return luaL_testudata(L, value, LUA_FILEHANDLE) ? 0 : s->held;
    case LUA_TLIGHTUSERDATA: return globals ? 0 : s->held;
    default: return 0;
  }
}

/* The fields of the table at `index` that have a string as key. */
static void fields_add(const struct scan *s, int index) {
  lua_State *L = s->L;
  int key = lua_gettop(L) + 1, value = key + 1;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int table = lua_type(L, key) == LUA_TSTRING ? table_for(s, value) : 0;
    if (table) name_add(s, table, value, key);
    lua_settop(L, key);
  }
}

/* The module on top of the stack, by its name. */
static void module_add(struct scan *s, const char *module) {
  int value = lua_gettop(s->L);
  s->module = module;
  s->module_size = strlen(module);
  name_add(s, s->known, value, 0);
  if (lua_type(s->L, value) == LUA_TTABLE) fields_add(s, value);
}

static int is_known(lua_State *L, int known) {
  int found;
  lua_pushvalue(L, -1);
  found = lua_rawget(L, known) == LUA_TSTRING;
  lua_pop(L, 1);
  return found;
}

static int is_module(lua_State *L) {
  int type = lua_type(L, -1);
  if (lua_type(L, -2) != LUA_TSTRING) return 0;
  return type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA;
}

static void standard_add(struct scan *s, int loaded) {
  size_t i;
  for (i = 0; i < sizeof standard / sizeof standard[0]; i++) {
    if (lua_getfield(s->L, loaded, standard[i]) == LUA_TTABLE) module_add(s, standard[i]);
    lua_pop(s->L, 1);
  }
}

static void modules_add(struct scan *s, int loaded, int again) {
  lua_State *L = s->L;
  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    if (is_module(L) && (again || !is_known(L, s->known))) module_add(s, lua_tostring(L, -2));
    lua_pop(L, 1);
  }
}

/* The metatable on top is that of a type, and its __index is a table (then pushed). */
static int push_methods(lua_State *L, int key) {
  int top = lua_gettop(L);
  lua_pushliteral(L, "__name");
  if (lua_rawget(L, top) == LUA_TSTRING && lua_rawequal(L, -1, key)) {
    lua_pushliteral(L, "__index");
    if (lua_rawget(L, top) == LUA_TTABLE) return 1;
  }
  lua_settop(L, top);
  return 0;
}

/* Methods of the types that luaL_newmetatable made. */
static void types_add(struct scan *s) {
  lua_State *L = s->L;
  int key = lua_gettop(L) + 1;
  lua_pushnil(L);
  while (lua_next(L, LUA_REGISTRYINDEX)) {
    if (lua_type(L, key) == LUA_TSTRING && lua_type(L, key + 1) == LUA_TTABLE &&
        push_methods(L, key)) {
      int methods = lua_gettop(L);
      lua_pushfstring(L, "%c%s", 0, lua_tostring(L, key));
      s->module = lua_tolstring(L, -1, &s->module_size);
      fields_add(s, methods);
    }
    lua_settop(L, key);
  }
}

void mp_name_scan(lua_State *L, int known, int again) {
  struct scan s = {L, known, 0, NULL, 0};
  int top = lua_gettop(L), loaded = top + 1;
  luaL_checkstack(L, 24, NULL);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  mp_codec_table(L, CODEC_HELD);
  s.held = lua_gettop(L);
  lua_getfield(L, loaded, LUA_GNAME);
  again = again || !is_known(L, known);
  if (again) standard_add(&s, loaded);
  modules_add(&s, loaded, again);
  if (again) types_add(&s);
  lua_settop(L, top);
}
