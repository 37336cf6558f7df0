/*
** The session as a whole: its limit, its numbers, its checker.
*/
#include "../core/dump.h"
#include "binding.h"
#include "nouns.h"

/* ---- set_memory_limit(bytes) ---- */

static int session_set_memory_limit(lua_State *L) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  int whole;
  lua_Integer bytes = lua_tointegerx(L, 1, &whole);
  if (!whole || lua_type(L, 1) != LUA_TNUMBER) mp_lua_raise_type(L, 1, "integer");
  if (bytes <= 0)
    mp_lua_raise(L, "ValueError", "the memory limit must be positive, got %I",
                 (LUAI_UACINT)bytes);
  if (s->context != NULL)
    mp_lua_raise(L, "ProcessError", "the session has begun: its memory limit stands");
  s->memory = (size_t)bytes;
  return 0;
}

/* ---- stats() ---- */

static lua_Integer count_processes(const struct mp_context *c) {
  lua_Integer n = 0;
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++)
    n += mp_slot_state_of(w64_get(&mp_slot_at(&c->arena, i)->who)) == MP_SLOT_LIVE;
  return n;
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void push_counts(lua_State *L, struct mp_context *c) {
  uint32_t count[MP_KINDS];
  mp_object_counts(c, count);
  lua_newtable(L);
  for (int kind = 0; kind < MP_KINDS; kind++)
    if (count[kind] != 0 && mp_kinds[kind] != NULL)
      set_integer(L, mp_kinds[kind]->name, count[kind]);
}

static int session_stats(lua_State *L) {
  struct mp_context *c = mp_lua_context(L);
  struct mp_heap_usage usage = mp_heap_usage(c);
  lua_createtable(L, 0, 4);
  set_integer(L, "bytes", usage.allocated);
  set_integer(L, "limit", usage.limit);
  push_counts(L, c);
  lua_setfield(L, -2, "objects");
  lua_pushinteger(L, count_processes(c));
  lua_setfield(L, -2, "processes");
  return 1;
}

/* ---- check() ---- */

static int session_check(lua_State *L) {
  const char *wrong = mp_check_arena(mp_lua_context(L));
  lua_pushboolean(L, wrong == NULL);
  if (wrong == NULL) return 1;
  lua_pushstring(L, wrong);
  return 2;
}

/* ---- dump() ---- */

static const char *state_name(enum mp_slot_state state) {
  static const char *const names[] = {"free", "", ", dead", ", about to start"};
  return names[state];
}

static void add_objects(lua_State *L, luaL_Buffer *b, const struct mp_dump *d) {
  for (uint32_t i = 0; i < d->objects; i++) {
    const struct mp_dump_object *o = &d->object[i];
    LUAI_UACINT id = (LUAI_UACINT)o->id;
    if (o->waits) lua_pushfstring(L, "\n  waits for %s #%I", o->kind, id);
    if (o->waits) luaL_addvalue(b);
    if (o->held != 0) lua_pushfstring(L, "\n  holds %s #%I (%d)", o->kind, id, (int)o->held);
    if (o->held != 0) luaL_addvalue(b);
  }
}

static void add_process(lua_State *L, luaL_Buffer *b, const struct mp_dump *d) {
  const char *space = d->name[0] != '\0' ? " " : "", *waits = d->waits ? ", waits" : "";
  lua_pushfstring(L, "\nprocess %d%s%s%s: %d handles%s", d->pid, space, d->name,
                  state_name(d->state), (int)d->handles, waits);
  luaL_addvalue(b);
  if (d->doing[0] != '\0') lua_pushfstring(L, "\n  runs %s", d->doing);
  if (d->doing[0] != '\0') luaL_addvalue(b);
  add_objects(L, b, d);
}

static int session_dump(lua_State *L) {
  struct mp_context *c = mp_lua_context(L);
  struct mp_heap_usage usage = mp_heap_usage(c);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  lua_pushfstring(L, "session: %I processes, %I of %I bytes", (LUAI_UACINT)count_processes(c),
                  (LUAI_UACINT)usage.allocated, (LUAI_UACINT)usage.limit);
  luaL_addvalue(&b);
  for (uint32_t i = 0; i < mp_dump_slots(c); i++) {
    struct mp_dump d;
    if (mp_dump_slot(c, i, &d)) add_process(L, &b, &d);
  }
  luaL_pushresult(&b);
  return 1;
}

static const luaL_Reg session_functions[] = {{"set_memory_limit", session_set_memory_limit},
                                             {"stats", session_stats},
                                             {"check", session_check},
                                             {"dump", session_dump},
                                             {NULL, NULL}};

void mp_lua_open_session(lua_State *L) {
  mp_lua_functions(L, session_functions);
}
