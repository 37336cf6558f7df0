/*
** What travels by name: whatever the receiver can find by itself (scan.c says what has a name).
**
** Looking up every table would make plain data pay for this. So a message starts without names,
** and takes them up at its first function, userdata or unknown metatable; objects that were
** written before that are written again, now with names. A message of plain data thus copies
** a module that is nothing but data.
*/
#include "name.h"

#include <string.h>

#include <lauxlib.h>

int mp_encode_names_begin(struct encoder *e) {
  if (e->names) return 0;
  e->names = 1;
  mp_codec_table(e->L, CODEC_KNOWN);
  lua_replace(e->L, KNOWN_INDEX(e));
  mp_name_scan(e->L, KNOWN_INDEX(e), 0);
  e->restart = e->entry_count > 0;
  return e->restart;
}

/* The parts between the zeros, each as a string. */
static void put_name(struct encoder *e, const char *name, size_t n) {
  uint32_t start = extension_begin(e, EXT_NAME);
  const char *end = name + n;
  for (;;) {
    size_t part = strlen(name);
    mp_encode_string(e, name, part);
    if (name + part >= end) break;
    name += part + 1;
  }
  extension_end(e, start);
}

void mp_encode_globals(struct encoder *e) { put_name(e, LUA_GNAME, strlen(LUA_GNAME)); }

/* Writes the name that `table` has for the value; a stale one is dropped. */
static int named_in(struct encoder *e, int table, int slot) {
  lua_State *L = e->L;
  int top = lua_gettop(L), good = 0;
  lua_pushvalue(L, slot);
  if (lua_rawget(L, table) == LUA_TSTRING) {
    size_t n;
    const char *name = lua_tolstring(L, -1, &n);
    mp_name_push(L, name, n);
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

/* Looks for names everywhere, once per message. Whether it did. */
static int scan_again(struct encoder *e) {
  if (e->scanned) return 0;
  e->scanned = 1;
  mp_name_scan(e->L, KNOWN_INDEX(e), 1);
  return 1;
}

/* Where the function's place is noted, if that was looked for in all modules in vain. Closures are
** made by the thousand, and looking through all modules for each would cost more than sending
** it. */
static struct codec_place *place_of(struct encoder *e, int slot, struct codec_place *place) {
  lua_Debug info;
  lua_pushvalue(e->L, slot);
  lua_getinfo(e->L, ">S", &info);
  place->source = info.source;
  place->line = info.linedefined;
  return &e->state->nameless[((uintptr_t)info.source / 16 + (unsigned)info.linedefined) &
                             (CODEC_PLACES - 1)];
}

int mp_encode_named_function(struct encoder *e, int slot) {
  struct codec_place place, *nameless;
  if (mp_encode_named(e, slot)) return 1;
  nameless = place_of(e, slot, &place);
  if (nameless->source == place.source && nameless->line == place.line &&
      !lua_iscfunction(e->L, slot))
    return 0;
  if (scan_again(e) && mp_encode_named(e, slot)) return 1;
  *nameless = place;
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
  if (!done && scan_again(e)) done = mp_encode_named(e, slot) || named_in(e, held, slot);
  lua_settop(e->L, held - 1);
  return done;
}

/* Methods of a type, if the registry's entry of that name is one. */
static void push_methods(lua_State *L, const char *type, size_t n) {
  int top = lua_gettop(L);
  lua_pushlstring(L, type, n);
  if (lua_rawget(L, LUA_REGISTRYINDEX) == LUA_TTABLE) {
    lua_pushliteral(L, "__name");
    if (lua_rawget(L, top + 1) == LUA_TSTRING) {
      lua_pushliteral(L, "__index");
      lua_rawget(L, top + 1);
      lua_replace(L, top + 1);
      lua_settop(L, top + 1);
      return;
    }
  }
  lua_settop(L, top);
  lua_pushnil(L);
}

static void push_loaded(lua_State *L, const char *module, size_t n) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushlstring(L, module, n);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* Replaces the table on top by its field; anything else by nil. */
static void take_field(lua_State *L, const char *key, size_t n) {
  if (lua_type(L, -1) == LUA_TTABLE) {
    lua_pushlstring(L, key, n);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
}

/* The length of the first part of a name, which is followed by its end or by a zero. */
static size_t part_length(const char *name, const char *end) {
  const char *zero = memchr(name, 0, (size_t)(end - name));
  return (size_t)((zero ? zero : end) - name);
}

void mp_name_push(lua_State *L, const char *name, size_t n) {
  const char *end = name + n;
  size_t part = part_length(name, end);
  if (part > 0) {
    push_loaded(L, name, part);
  } else {
    name = name < end ? name + 1 : end;
    part = part_length(name, end);
    push_methods(L, name, part);
  }
  for (name += part; name < end; name += part) {
    name++;
    part = part_length(name, end);
    take_field(L, name, part);
  }
}

/* Loads a module that is not loaded yet; 0 and the reason if that fails. */
static int module_load(lua_State *L, const char *module, size_t n) {
  const char *name, *why;
  int status;
  push_loaded(L, module, n);
  if (n == 0 || !lua_isnil(L, -1)) {
    lua_settop(L, -2);
    return 1;
  }
  lua_settop(L, -2);
  push_loaded(L, LUA_GNAME, strlen(LUA_GNAME));
  lua_getfield(L, -1, "require");
  lua_replace(L, -2);
  lua_pushlstring(L, module, n);
  status = lua_pcall(L, 1, 0, 0);
  if (status == LUA_OK) return 1;
  if (status == LUA_ERRMEM) lua_error(L);
  why = luaL_tolstring(L, -1, NULL);
  name = lua_pushlstring(L, module, n);
  lua_pushfstring(L, "module '%s' cannot be loaded here: %s", name, why);
  return 0;
}

/* fetch(module, field): a module may load its fields when they are asked for. */
static int fetch(lua_State *L) {
  push_loaded(L, lua_tostring(L, 1), lua_rawlen(L, 1));
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  return 1;
}

/* Replaces the nil on top by what the module gives for the name's second part, if that is the
** last. */
static void name_fetch(lua_State *L, const char *name, size_t n) {
  size_t first = part_length(name, name + n);
  if (first == 0 || first >= n || memchr(name + first + 1, 0, n - first - 1) != NULL) return;
  lua_settop(L, -2);
  lua_pushcfunction(L, fetch);
  lua_pushlstring(L, name, first);
  lua_pushlstring(L, name + first + 1, n - first - 1);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK) return;
  lua_settop(L, -2);
  lua_pushnil(L);
}

int mp_name_find(lua_State *L, const char *name, size_t n) {
  size_t first = part_length(name, name + n);
  const char *what;
  if (!module_load(L, name, first)) return 0;
  mp_name_push(L, name, n);
  if (lua_isnil(L, -1)) name_fetch(L, name, n);
  if (!lua_isnil(L, -1)) return 1;
  what = first > 0 || n == 0 ? name : name + 1;
  lua_pushfstring(L, "'%s' has no field of that name here", what);
  return 0;
}
