/*
** Guards: lock:with(f, ...) and `local held <close> = lock:guard()`.
**
** A guard is a userdata that says which lock it holds and for which participant. It is made before
** the lock is acquired and armed after it, so that no error in between leaves the lock taken. In a
** process that was forked under the guard it does nothing: there the lock is not held.
*/
#include "guard.h"

#include "nouns.h"

static const char guard_key; /* its address is the key of the guards' metatable */

struct guard {
  const struct mp_lua_lockable *how;
  struct mp_handle *lock;
  struct mp_context *context;
  uint32_t tag; /* of the participant that holds it; 0: not armed */
};

/* ---- acquiring ---- */

int mp_lua_acquired_slow(lua_State *L, int r, const char *what) {
  if (r != MP_ABANDONED && r != MP_TIMEOUT) mp_lua_result(L, r, what);
  lua_pushboolean(L, r == MP_ABANDONED);
  if (r == MP_TIMEOUT) return 1;
  lua_pushliteral(L, "abandoned");
  return 2;
}

/* Writes a warning, whatever the logger does. The guard at `index` is armed. */
static void log_abandoned(lua_State *L, const struct guard *g) {
  int pid = 0, code = MP_EXIT_UNKNOWN, top = lua_gettop(L);
  (void)!mp_lock_abandoned(g->lock, &pid, &code);
  mp_lua_require(L, "multiprocessing.log");
  lua_getfield(L, -1, "warning");
  lua_pushfstring(L, "%s #%I was abandoned: process %d ended while it held it",
                  g->how->type->name, (LUAI_UACINT)w64_get(&g->lock->object->id), pid);
  (void)lua_pcall(L, 1, 0, 0);
  lua_settop(L, top);
}

/* Pushes an armed guard for the lock at 1. */
static void guard_make(lua_State *L, const struct mp_lua_lockable *how) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, how->type);
  luaL_checkstack(L, 10, NULL);
  struct guard *g = (struct guard *)lua_newuserdatauv(L, sizeof *g, 1);
  *g = (struct guard){.how = how, .context = u->state->context};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
  lua_setmetatable(L, -2);
  g->lock = how->lock != NULL ? how->lock(u) : u->handle;
  int r = mp_lua_acquire(L, g->lock, MP_FOREVER, how->acquire);
  if (r != 0 && r != MP_ABANDONED) mp_lua_result(L, r, how->type->name);
  g->tag = g->context->tag;
  if (r == MP_ABANDONED) log_abandoned(L, g);
}

/* ---- releasing ---- */

static struct guard *guard_check(lua_State *L) {
  struct guard *g = (struct guard *)lua_touserdata(L, 1);
  bool is = g != NULL && lua_getmetatable(L, 1) != 0;
  if (is) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
    is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!is) mp_lua_raise_type(L, 1, "guard");
  return g;
}

static bool guard_holds(const struct guard *g) {
  return g->tag != 0 && mp_context_valid(g->context) && g->context->tag == g->tag;
}

static int guard_release(lua_State *L, struct guard *g, bool quiet) {
  if (!guard_holds(g)) return 0;
  g->tag = 0;
  int r = g->how->release(g->lock);
  if (!quiet) mp_lua_result_as(L, r, g->how->type->name, g->how->conditions);
  return 0;
}

/* __close(guard, error) */
static int guard_close(lua_State *L) {
  struct guard *g = guard_check(L);
  return guard_release(L, g, !lua_isnoneornil(L, 2));
}

static int guard_tostring(lua_State *L) {
  const struct guard *g = guard_check(L);
  lua_pushfstring(L, "guard of %s #%I (%s)", g->how->type->name,
                  (LUAI_UACINT)w64_get(&g->lock->object->id), guard_holds(g) ? "held" : "released");
  return 1;
}

/* ---- methods ---- */

static int method_guard(lua_State *L) {
  const struct mp_lua_lockable *how =
      (const struct mp_lua_lockable *)lua_touserdata(L, lua_upvalueindex(1));
  guard_make(L, how);
  return 1;
}

static int with_end(lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

/* with(lock, f, ...): the guard goes between the lock and f. */
static int method_with(lua_State *L) {
  const struct mp_lua_lockable *how =
      (const struct mp_lua_lockable *)lua_touserdata(L, lua_upvalueindex(1));
  (void)mp_lua_handle_check(L, 1, how->type);
  if (!mp_lua_is_callable(L, 2)) mp_lua_raise_type(L, 2, "function");
  guard_make(L, how);
  lua_insert(L, 2);
  lua_toclose(L, 2);
  lua_callk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, with_end);
  return with_end(L, LUA_OK, 2);
}

static const luaL_Reg guard_metamethods[] = {
    {"__close", guard_close}, {"__tostring", guard_tostring}, {NULL, NULL}};

void mp_lua_open_guard(lua_State *L) {
  lua_createtable(L, 0, 4);
  luaL_setfuncs(L, guard_metamethods, 0);
  lua_pushliteral(L, "guard");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
}

void mp_lua_guard_type(lua_State *L, const struct mp_lua_lockable *how) {
  static const luaL_Reg methods[] = {
      {"with", method_with}, {"guard", method_guard}, {NULL, NULL}};
  lua_rawgetp(L, LUA_REGISTRYINDEX, how->type);
  lua_rawgetp(L, -1, how->type);
  lua_pushlightuserdata(L, (void *)(uintptr_t)how);
  luaL_setfuncs(L, methods, 1);
  lua_pop(L, 2);
}
