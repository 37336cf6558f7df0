/*
** What goes along with functions: the globals that they read, and the classes of what is sent.
**
** While the message is written, its functions note the names of their globals and its instances
** their classes, each once. These follow the body in one map: a global under its name, a class
** under a number. They may hold functions and instances, which add to the lists while they are
** written.
**
** Nobody asked for these values by name, so one that cannot be sent is no error: what was written
** of it is taken back, and the receiver, who may have it all the same, has to do without. Taking
** back is a longjmp from the refusal to attempt(), across frames of this codec only.
*/
#include "globals.h"

#include <string.h>

#include <lauxlib.h>

#include "proto.h"

/* Every Lua has these. */
static const char *const standard[] = {
    "_G",       "_VERSION", "assert",       "collectgarbage", "coroutine", "debug",  "dofile",
    "error",    "getmetatable", "io",       "ipairs",         "load",      "loadfile", "math",
    "next",     "os",       "package",      "pairs",          "pcall",     "print",  "rawequal",
    "rawget",   "rawlen",   "rawset",       "require",        "select",    "setmetatable", "string",
    "table",    "tonumber", "tostring",     "type",           "utf8",      "warn",   "xpcall"};

static int is_standard(const char *name) {
  size_t i;
  for (i = 0; i < sizeof standard / sizeof standard[0]; i++)
    if (strcmp(name, standard[i]) == 0) return 1;
  return 0;
}

/* Pushes the list at a fixed index, made if need be. */
static void push_list(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TNIL) {
    lua_createtable(L, 4, 4);
    lua_replace(L, index);
  }
  lua_pushvalue(L, index);
}

/* Whether the key on top was noted in the table below it or, now, is. Pops both. */
static int noted_before(lua_State *L) {
  int before;
  lua_pushvalue(L, -1);
  before = lua_rawget(L, -3) != LUA_TNIL;
  lua_settop(L, -2);
  if (!before) {
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_settop(L, -2);
  } else {
    lua_settop(L, -3);
  }
  return before;
}

static int is_present(struct encoder *e, const char *name, size_t n) {
  int present;
  if (e->present == 0 || lua_type(e->L, e->present) != LUA_TTABLE) return 0;
  lua_pushlstring(e->L, name, n);
  present = lua_rawget(e->L, e->present) != LUA_TNIL;
  lua_settop(e->L, -2);
  return present;
}

/* Global environments may have metamethods, and these may fail. */
static int get_global(lua_State *L) {
  lua_gettable(L, 1);
  return 1;
}

struct finder {
  struct encoder *e;
  int env; /* stack index */
};

static void global_note(void *data, const char *name, size_t n) {
  struct finder *f = data;
  struct encoder *e = f->e;
  lua_State *L = e->L;
  int top = lua_gettop(L), status;
  if (is_standard(name) || is_present(e, name, n)) return;
  push_list(L, GLOBALS_INDEX(e));
  lua_pushlstring(L, name, n);
  if (noted_before(L)) return;
  lua_pushcfunction(L, get_global);
  lua_pushvalue(L, f->env);
  lua_pushlstring(L, name, n);
  status = lua_pcall(L, 2, 1, 0);
  if (status == LUA_ERRMEM) lua_error(L);
  if (status == LUA_OK && !lua_isnil(L, -1)) {
    lua_pushlstring(L, name, n);
    lua_rawseti(L, GLOBALS_INDEX(e), 2 * e->globals + 1);
    lua_rawseti(L, GLOBALS_INDEX(e), 2 * e->globals + 2);
    e->globals++;
  }
  lua_settop(L, top);
}

/* Which upvalues are the globals; pushes these (nil if there are none). */
static void find_environment(lua_State *L, int slot, unsigned char *is_env) {
  int i, env = lua_gettop(L) + 1;
  const char *name;
  lua_pushnil(L);
  for (i = 1; (name = lua_getupvalue(L, slot, i)) != NULL; i++) {
    if (mp_encode_is_environment(L, name)) {
      is_env[i - 1] = 1;
      lua_replace(L, env);
    }
    lua_settop(L, env);
  }
}

void mp_encode_find_globals(struct encoder *e, int slot, uint32_t dump, uint32_t size) {
  unsigned char is_env[256] = {0};
  struct finder finder = {e, lua_gettop(e->L) + 1};
  struct proto_query query = {e->L, global_note, &finder, is_env};
  mp_encode_room(e);
  find_environment(e->L, slot, is_env);
  if (lua_type(e->L, finder.env) == LUA_TTABLE)
    mp_proto_globals(&query, e->body + dump, size);
  lua_settop(e->L, finder.env - 1);
}

void mp_encode_note_class(struct encoder *e, int description) {
  lua_State *L = e->L;
  if (!(e->mode & MP_CODEC_CARRY)) return;
  push_list(L, CARRIED_INDEX(e));
  lua_rawgeti(L, description, TYPE_CLASS);
  if (noted_before(L)) return;
  lua_pushvalue(L, description);
  lua_rawseti(L, CARRIED_INDEX(e), ++e->classes);
}

/* As much of the encoder as an attempt changes. */
struct position {
  uint32_t at, entry_count, cells, ticket_count;
  int top;
};

static void take_back(struct encoder *e, const struct position *p) {
  uint32_t i;
  e->at = e->body + p->at;
  e->depth = 0;
  e->cells = p->cells;
  e->ticket_count = p->ticket_count;
  e->shared = 0;
  for (i = 0; i < p->entry_count; i++) e->shared += e->entries[i].state == ENTRY_SHARED;
  mp_graph_truncate(e, p->entry_count);
  lua_settop(e->L, p->top);
}

/* Writes the name and the value on top, or nothing; pops both. */
static int attempt(struct encoder *e) {
  lua_State *L = e->L;
  const struct position before = {here(e), e->entry_count, e->cells, e->ticket_count,
                                  lua_gettop(L)};
  jmp_buf escape;
  int good = 0;
  e->escape = &escape;
  if (setjmp(escape) == 0) {
    struct frame *f = mp_encode_frame(e, FRAME_ROOT, before.top - 1, before.top);
    f->n = 2;
    mp_encode_walk(e);
    good = 1;
  } else {
    take_back(e, &before);
  }
  e->escape = NULL;
  lua_settop(L, before.top - 2);
  return good;
}

static int put_global(struct encoder *e, lua_Integer i) {
  lua_rawgeti(e->L, GLOBALS_INDEX(e), 2 * i + 1);
  lua_rawgeti(e->L, GLOBALS_INDEX(e), 2 * i + 2);
  return attempt(e);
}

/* Pushes a copy without metatable. */
static void push_copy(lua_State *L, int table) {
  lua_createtable(L, 0, 8);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* Pushes {name, fields, metatable, pack, unpack} of a class, false for what it lacks. */
static void push_definition(lua_State *L, int description) {
  int parts = lua_gettop(L) + 1, class = parts + 1, i;
  lua_createtable(L, 5, 0);
  lua_rawgeti(L, description, TYPE_CLASS);
  lua_rawgeti(L, description, TYPE_NAME);
  lua_rawseti(L, parts, 1);
  push_copy(L, class);
  lua_rawseti(L, parts, 2);
  if (lua_getmetatable(L, class)) push_copy(L, class + 1);
  else lua_pushboolean(L, 0);
  lua_rawseti(L, parts, 3);
  for (i = 0; i < 2; i++) {
    lua_settop(L, class);
    if (lua_rawgeti(L, description, TYPE_PACK + i) == LUA_TNIL) {
      lua_settop(L, class);
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, parts, 4 + i);
  }
  lua_settop(L, parts);
}

static int put_class(struct encoder *e, lua_Integer i) {
  lua_State *L = e->L;
  int description = lua_gettop(L) + 1, good;
  lua_rawgeti(L, CARRIED_INDEX(e), i);
  lua_pushinteger(L, i);
  push_definition(L, description);
  mp_encode_anchor(e, lua_gettop(L), 1);
  good = attempt(e);
  lua_settop(L, description - 1);
  return good;
}

/* Globals may need further classes, and classes further globals. */
void mp_encode_extras(struct encoder *e) {
  lua_Integer globals = 0, classes = 0;
  uint32_t count_at, n = 0;
  if (e->globals == 0 && e->classes == 0) return;
  mp_encode_room(e);
  need(e, 5);
  put_head32(e, WIRE_MAP32, 0);
  count_at = here(e) - 4;
  while (globals < e->globals || classes < e->classes) {
    if (globals < e->globals) n += (uint32_t)put_global(e, globals++);
    else n += (uint32_t)put_class(e, ++classes);
  }
  store32(e->body + count_at, n);
  e->extras = 1;
}
