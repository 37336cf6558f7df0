/*
** The module: what one Lua state keeps, and the table of C functions for our Lua files.
**
** The state is a userdata in the registry. It is made before any handle, so at the end of the Lua
** state its finalizer is the last of ours to run: it closes the participant, and what that still
** held is given up as at a death. Its user values keep our home directory, the types, `require`
** and the trampoline.
*/
#include "binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nouns.h"

enum { HOME = 1, TYPES, REQUIRE, TRAMPOLINE, USER_VALUES = TRAMPOLINE };

static const char state_key; /* its address is the state's key in the registry */

/* ---- the state ---- */

struct mp_lua_state *mp_lua_state_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  struct mp_lua_state *s = (struct mp_lua_state *)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return s;
}

static void push_value(lua_State *L, int which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  lua_getiuservalue(L, -1, which);
  lua_remove(L, -2);
}

/* Keeps the value on top of the stack, which it takes. */
static void keep_value(lua_State *L, int which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, which);
  lua_pop(L, 1);
}

void mp_lua_types(lua_State *L) {
  push_value(L, TYPES);
}

void mp_lua_trampoline(lua_State *L) {
  push_value(L, TRAMPOLINE);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  if (luaL_loadbufferx(L, "return", 6, "=interrupted", "t") != LUA_OK) lua_error(L);
  lua_pushvalue(L, -1);
  keep_value(L, TRAMPOLINE);
}

void mp_lua_require(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  push_value(L, REQUIRE);
  lua_pushstring(L, name);
  lua_call(L, 1, 1);
}

static int state_gc(lua_State *L) {
  struct mp_lua_state *s = (struct mp_lua_state *)lua_touserdata(L, 1);
  s->ended = true;
  mp_lua_process_end(s);
  mp_lua_handle_forget(); /* one that was made while the state closed has no finalizer */
  s->context = mp_context_close(s->context);
  return 0;
}

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static void state_new(lua_State *L) {
  struct mp_lua_state *s = (struct mp_lua_state *)lua_newuserdatauv(L, sizeof *s, USER_VALUES);
  memset(s, 0, sizeof *s);
  s->main = s->running = main_thread(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  lua_newtable(L);
  keep_value(L, TYPES);
  lua_getglobal(L, "require");
  keep_value(L, REQUIRE);
}

/* ---- the participant ---- */

/* "256M" -> bytes; 0 if it is no such thing. */
static size_t parse_size(const char *text) {
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  const char *units = "KMGT", *unit = *end != '\0' ? strchr(units, *end & ~0x20) : NULL;
  unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
  if (end == text || errno != 0 || *text == '-' || end[unit != NULL] != '\0') return 0;
  return n << shift >> shift == n ? (size_t)(n << shift) : 0;
}

static size_t memory_limit(lua_State *L, const struct mp_lua_state *s) {
  const char *text = getenv("MULTIPROCESSING_MEMORY");
  if (s->memory != 0 || text == NULL || *text == '\0') return s->memory;
  size_t bytes = parse_size(text);
  if (bytes == 0)
    mp_lua_raise(L, "ValueError",
                 "MULTIPROCESSING_MEMORY must be a size as 256M, got \"%s\"", text);
  return bytes;
}

static void context_open(lua_State *L, struct mp_lua_state *s) {
  struct mp_context_options o = {memory_limit(L, s), 0};
  if (s->ended) mp_lua_raise(L, "ProcessError", "this Lua state is being closed");
  int r = mp_context_open(&o, &s->context);
  if (r == -EUSERS) mp_lua_raise(L, "ProcessError", "this session has as many processes as it can");
  if (r == -ENOMEM) /* nothing of the session's own limit is used up yet */
    mp_lua_raise(L, "MemoryError", "opening shared memory: %s (ulimit -v limits the address space)",
                 mp_strerror(r));
  mp_lua_result(L, r, "opening shared memory");
  s->context->interrupted = mp_lua_interrupted;
  s->context->interrupted_arg = s;
}

struct mp_context *mp_lua_context(lua_State *L) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  if (s->running != L) s->running = L; /* a store can cost a fork the copy of a page */
  if (s->context == NULL) context_open(L, s);
  if (!mp_context_valid(s->context))
    mp_lua_raise(L, "ProcessError",
                 "this handle belongs to process %d; a child that was forked by foreign "
                 "means has no part in its session",
                 s->context->pid);
  return s->context;
}

/* ---- functions ---- */

/* core.methods(name): the table in which a type's methods are looked up, to add to. */
static int core_methods(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  mp_lua_types(L);
  lua_getfield(L, -1, name);
  if (lua_isnil(L, -1)) return luaL_error(L, "no type is called %s", name);
  return 1;
}

/* core.home(): the caller's directory is where our Lua files are. */
static int core_home(lua_State *L) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  lua_Debug ar;
  if (!lua_getstack(L, 1, &ar)) return 0;
  lua_getinfo(L, "S", &ar);
  const char *slash = ar.source[0] == '@' ? strrchr(ar.source, '/') : NULL;
  if (slash == NULL) return 0;
  s->home = lua_pushlstring(L, ar.source, (size_t)(slash - ar.source) + 1);
  s->home_length = (size_t)(slash - ar.source) + 1;
  keep_value(L, HOME);
  return 0;
}

void mp_lua_functions(lua_State *L, const luaL_Reg *functions) {
  luaL_setfuncs(L, functions, 0);
}

static const luaL_Reg core_functions[] = {
  {"methods", core_methods}, {"home", core_home}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_multiprocessing_core(lua_State *L) {
  if (mp_lua_state_of(L) == NULL) state_new(L);
  lua_newtable(L);
  mp_lua_functions(L, core_functions);
#define NOUN(noun) mp_lua_open_##noun(L);
#include "nouns.h"
  return 1;
}
