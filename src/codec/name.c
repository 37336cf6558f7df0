/*
** What travels by name: whatever the receiver can find by itself. Loaded modules, their functions,
** the standard libraries, _G, io's three files.
**
** Two weak tables map an object to its name. KNOWN holds modules and their functions; HELD other
** fields of modules (classes with metatables, sentinels such as cjson.null), which are used only
** where the value would be refused otherwise. A name is "module" or "module\0key". A name that is
** found is checked against package.loaded before it is used, so the tables may be stale.
**
** Looking up every table would make plain data pay for this. So a message starts without names,
** and takes them up at its first function, userdata or unknown metatable; if a module was written
** as a plain table before that, the message is begun again. A message of plain data thus copies
** a module that is nothing but data.
*/
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "encode.h"
#include "name.h"

/* These come first, so that a module's copy of string.format does not stand in for the original. */
static const char *const standard[] = {
    LUA_GNAME,       LUA_COLIBNAME,   LUA_TABLIBNAME,  LUA_IOLIBNAME,   LUA_OSLIBNAME,
    LUA_STRLIBNAME,  LUA_UTF8LIBNAME, LUA_MATHLIBNAME, LUA_DBLIBNAME,   LUA_LOADLIBNAME};

static void push_loaded(lua_State *L) { lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); }

/* The name of a module or of one of its fields. */
struct name {
  const char *module, *key;
  size_t key_size;
};

/* Sets table[value] = name, unless it has one. */
static void name_add(lua_State *L, int table, int value, const struct name *name) {
  luaL_Buffer b;
  lua_pushvalue(L, value);
  lua_rawget(L, table);
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pushvalue(L, value);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, name->module);
    if (name->key) luaL_addchar(&b, '\0');
    if (name->key) luaL_addlstring(&b, name->key, name->key_size);
    luaL_pushresult(&b);
    lua_rawset(L, table);
  }
  lua_pop(L, 1);
}

/* Whether a field that is no function may be found by name. */
static int is_held(lua_State *L, int value, const char *module, int is_globals) {
  switch (lua_type(L, value)) {
    case LUA_TUSERDATA:
      return !luaL_testudata(L, value, LUA_FILEHANDLE) || strcmp(module, LUA_IOLIBNAME) == 0;
    case LUA_TTABLE:
    case LUA_TLIGHTUSERDATA: return !is_globals;
    default: return 0;
  }
}

/* The field whose key and value are on top. A program's own global functions have no module. */
static void field_add(lua_State *L, int known, int held, const char *module) {
  int value = lua_gettop(L), is_globals = strcmp(module, LUA_GNAME) == 0;
  struct name name = {module, NULL, 0};
  if (lua_type(L, value - 1) != LUA_TSTRING) return;
  name.key = lua_tolstring(L, value - 1, &name.key_size);
  if (lua_type(L, value) == LUA_TFUNCTION) {
    if (!is_globals || lua_iscfunction(L, value)) name_add(L, known, value, &name);
  } else if (lua_type(L, value) == LUA_TTABLE && strcmp(module, LUA_LOADLIBNAME) == 0) {
    name_add(L, known, value, &name);
  } else if (is_held(L, value, module, is_globals)) {
    name_add(L, held, value, &name);
  }
}

/* The module on top of the stack and its fields. */
static void module_add(lua_State *L, int known, const char *module) {
  int value = lua_gettop(L), held = value + 1;
  struct name name = {module, NULL, 0};
  name_add(L, known, value, &name);
  if (lua_type(L, value) != LUA_TTABLE) return;
  mp_codec_table(L, CODEC_HELD);
  lua_pushnil(L);
  while (lua_next(L, value)) {
    field_add(L, known, held, module);
    lua_pop(L, 1);
  }
  lua_settop(L, value);
}

static int is_module(lua_State *L) {
  int type = lua_type(L, -1);
  if (lua_type(L, -2) != LUA_TSTRING) return 0;
  return type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA;
}

static int is_known(lua_State *L, int known) {
  int found;
  lua_pushvalue(L, -1);
  found = lua_rawget(L, known) == LUA_TSTRING;
  lua_pop(L, 1);
  return found;
}

static void standard_add(lua_State *L, int known, int loaded) {
  size_t i;
  for (i = 0; i < sizeof standard / sizeof standard[0]; i++) {
    if (lua_getfield(L, loaded, standard[i]) == LUA_TTABLE) module_add(L, known, standard[i]);
    lua_pop(L, 1);
  }
}

/* Takes up modules that are new, or all of them again; whether one was met as a plain table. */
static int modules_scan(struct encoder *e, int again) {
  lua_State *L = e->L;
  int top = lua_gettop(L), loaded = top + 1, met;
  luaL_checkstack(L, 24, NULL);
  push_loaded(L);
  met = mp_graph_has(e, lua_topointer(L, loaded));
  lua_getfield(L, loaded, LUA_GNAME);
  if (again || !is_known(L, KNOWN_INDEX(e))) standard_add(L, KNOWN_INDEX(e), loaded);
  lua_settop(L, loaded);
  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    if (is_module(L)) {
      if (again || !is_known(L, KNOWN_INDEX(e))) {
        module_add(L, KNOWN_INDEX(e), lua_tostring(L, -2));
      }
      met = met || mp_graph_has(e, lua_topointer(L, -1));
    }
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return met;
}

int mp_encode_names_begin(struct encoder *e) {
  if (e->names) return 0;
  e->names = 1;
  mp_codec_table(e->L, CODEC_KNOWN);
  lua_replace(e->L, KNOWN_INDEX(e));
  e->restart = modules_scan(e, 0);
  return e->restart;
}

static void put_name(struct encoder *e, const char *name, size_t n) {
  size_t module = strlen(name);
  uint32_t start = extension_begin(e, EXT_NAME);
  mp_encode_string(e, name, module);
  if (module < n) mp_encode_string(e, name + module + 1, n - module - 1);
  extension_end(e, start);
}

void mp_encode_globals(struct encoder *e) { put_name(e, LUA_GNAME, strlen(LUA_GNAME)); }

/* Pushes what package.loaded has under a name now; a nil if nothing. */
static void push_current(lua_State *L, const char *name, size_t n) {
  size_t module = strlen(name);
  push_loaded(L);
  lua_pushlstring(L, name, module);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  if (module == n) return;
  if (lua_type(L, -1) == LUA_TTABLE) {
    lua_pushlstring(L, name + module + 1, n - module - 1);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
}

/* Writes the name that `table` has for the value; a stale one is dropped. */
static int named_in(struct encoder *e, int table, int slot) {
  lua_State *L = e->L;
  int top = lua_gettop(L), good = 0;
  lua_pushvalue(L, slot);
  if (lua_rawget(L, table) == LUA_TSTRING) {
    size_t n;
    const char *name = lua_tolstring(L, -1, &n);
    push_current(L, name, n);
    good = lua_rawequal(L, -1, slot);
    if (good) {
      put_name(e, name, n);
    } else {
      lua_pushvalue(L, slot);
      lua_pushnil(L);
      lua_rawset(L, table);
    }
  }
  lua_settop(L, top);
  return good;
}

int mp_encode_named(struct encoder *e, int slot) {
  return named_in(e, KNOWN_INDEX(e), slot);
}

static int is_settled(lua_State *L, int known, int slot) {
  int type;
  lua_pushvalue(L, slot);
  type = lua_rawget(L, known);
  lua_pop(L, 1);
  return type == LUA_TBOOLEAN;
}

int mp_encode_named_function(struct encoder *e, int slot) {
  lua_State *L = e->L;
  if (mp_encode_named(e, slot)) return 1;
  if (is_settled(L, KNOWN_INDEX(e), slot)) return 0;
  if (!e->scanned) {
    e->scanned = 1;
    modules_scan(e, 1);
    if (mp_encode_named(e, slot)) return 1;
  }
  lua_pushvalue(L, slot);
  lua_pushboolean(L, 0);
  lua_rawset(L, KNOWN_INDEX(e));
  return 0;
}

int mp_encode_held(struct encoder *e, int slot) {
  int held, done;
  if (!(e->mode & MP_CODEC_CODE)) return 0;
  if (mp_encode_names_begin(e)) return -1;
  if (mp_encode_named(e, slot)) return 1;
  mp_codec_table(e->L, CODEC_HELD);
  held = lua_gettop(e->L);
  done = named_in(e, held, slot);
  if (!done && !e->scanned) {
    e->scanned = 1;
    modules_scan(e, 1);
    done = named_in(e, held, slot);
  }
  lua_settop(e->L, held - 1);
  return done;
}

/* Pushes the loaded module; loads it if need be. */
static int push_module(lua_State *L, const char *module, size_t n) {
  push_loaded(L);
  lua_pushlstring(L, module, n);
  if (lua_rawget(L, -2) != LUA_TNIL) {
    lua_remove(L, -2);
    return 1;
  }
  lua_pop(L, 1);
  lua_getfield(L, -1, LUA_GNAME);
  lua_getfield(L, -1, "require");
  lua_replace(L, -3);
  lua_pop(L, 1);
  lua_pushlstring(L, module, n);
  return lua_pcall(L, 1, 1, 0) == LUA_OK;
}

int mp_name_find(lua_State *L, const char *module, size_t n, const char *key, size_t key_size) {
  if (!push_module(L, module, n)) {
    const char *why = luaL_tolstring(L, -1, NULL);
    lua_pushfstring(L, "module '%s' cannot be loaded here: %s", module, why);
    return 0;
  }
  if (!key) return 1;
  if (lua_type(L, -1) == LUA_TTABLE) {
    lua_pushlstring(L, key, key_size);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return 1;
  }
  lua_pushfstring(L, "module '%s' has no field of that name here", module);
  return 0;
}
