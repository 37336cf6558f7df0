/*
** The codec's memory in a Lua state.
**
** The registry holds two things: the current state (a userdata whose user values are the scratch
** buffers) and the home table with the tables of registered types.
**
** Main invariant: a busy state belongs to one message. Encoding may run Lua (pack functions,
** finalizers) that encodes again, and may be left by an error. So a state that is found busy is
** not waited for: a new one takes its place in the registry, and the old one lives as long as the
** call that uses it has it on its stack. Nothing has to be repaired after an error.
*/
#include "state.h"

#include <string.h>

#include <lauxlib.h>

/* Addresses are registry keys. */
static const char state_key = 0;
static const char home_key = 0;

/* Lua moves many values into a new table much faster than an API call for each does. */
#define MAKER "return {...}"

#define FIRST_SIZE 4096u
/* A buffer above this is dropped after KEEP_FOR messages that used less than an eighth of it. */
#define LARGE_SIZE ((size_t)1 << 20)
#define KEEP_FOR 64

static struct codec_state *state_new(lua_State *L, const struct mp_codec_hooks *hooks) {
  struct codec_state *s = lua_newuserdatauv(L, sizeof *s, SCRATCH_KINDS);
  memset(s, 0, sizeof *s);
  if (hooks) s->hooks = *hooks;
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return s;
}

static void table_weak(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

static void home_new(lua_State *L) {
  int i;
  lua_createtable(L, CODEC_MAKER, 0);
  for (i = 1; i <= CODEC_TABLES; i++) {
    if (i == CODEC_KNOWN || i == CODEC_HELD) table_weak(L);
    else lua_createtable(L, 0, 0);
    lua_rawseti(L, -2, i);
  }
  if (luaL_loadbufferx(L, MAKER, sizeof MAKER - 1, "=multiprocessing", "t") != LUA_OK) lua_error(L);
  lua_rawseti(L, -2, CODEC_MAKER);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
}

void mp_codec_init(lua_State *L, const struct mp_codec_hooks *hooks) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key) == LUA_TNIL) home_new(L);
  state_new(L, hooks);
  lua_pop(L, 2);
}

struct codec_state *mp_codec_acquire(lua_State *L) {
  struct codec_state *s;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) == LUA_TNIL)
    luaL_error(L, "the codec of this Lua state was not initialised");
  s = lua_touserdata(L, -1);
  if (s->busy) {
    s = state_new(L, &s->hooks);
    lua_remove(L, -2);
  }
  s->busy = 1;
  return s;
}

const struct mp_codec_hooks *mp_codec_hooks_of(lua_State *L) {
  struct codec_state *s;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  s = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return s ? &s->hooks : NULL;
}

int mp_codec_is_ready(lua_State *L) {
  return mp_codec_hooks_of(L) != NULL;
}

void mp_codec_release(struct mp_codec_view *view) {
  struct codec_state *s = view->owner;
  if (s) s->busy = 0;
  memset(view, 0, sizeof *view);
}

void *mp_codec_grow(lua_State *L, int index, enum codec_scratch_kind kind, size_t keep,
                    size_t size) {
  struct codec_state *s = lua_touserdata(L, index);
  struct codec_scratch *c = &s->scratch[kind];
  size_t larger = c->size < FIRST_SIZE / 2 ? FIRST_SIZE : c->size * 2;
  void *memory;
  if (size <= c->size) return c->memory;
  if (larger < size) larger = size + size / 8;
  luaL_checkstack(L, 4, NULL);
  memory = lua_newuserdatauv(L, larger, 0);
  if (keep > 0) memcpy(memory, c->memory, keep);
  lua_setiuservalue(L, index, (int)kind);
  c->memory = memory;
  c->size = larger;
  return memory;
}

void mp_codec_trim(lua_State *L, struct codec_state *s, int index) {
  struct codec_scratch *c = &s->scratch[SCRATCH_BYTES];
  if (c->size <= LARGE_SIZE || s->used >= c->size / 8) {
    s->small = 0;
  } else if (++s->small > KEEP_FOR) {
    int kind;
    for (kind = 1; kind <= SCRATCH_KINDS; kind++) {
      lua_pushnil(L);
      lua_setiuservalue(L, index, kind);
      s->scratch[kind].memory = NULL;
      s->scratch[kind].size = 0;
    }
    s->small = 0;
  }
}

void mp_codec_table(lua_State *L, enum codec_table which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
  lua_rawgeti(L, -1, (lua_Integer)which);
  lua_remove(L, -2);
}

void mp_codec_raise(lua_State *L, const char *kind) {
  const struct mp_codec_hooks *hooks = mp_codec_hooks_of(L);
  if (hooks && hooks->raise) hooks->raise(L, kind);
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_error(L);
  __builtin_unreachable();
}
