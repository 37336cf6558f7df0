/*
** Lock and RLock.
*/
#include "guard.h"
#include "nouns.h"

static void lock_end(struct mp_lua_handle *u) {
  mp_lock_settle(u->handle);
}

static void lock_show(lua_State *L, struct mp_lua_handle *u) {
  lua_pushstring(L, mp_lock_locked(u->handle) ? "locked" : "unlocked");
}

const struct mp_lua_type mp_lua_lock_type = {
    .name = "Lock", .noun = "lock", .kind = MP_KIND_LOCK, .end = lock_end, .show = lock_show};
const struct mp_lua_type mp_lua_rlock_type = {
    .name = "RLock", .noun = "lock", .kind = MP_KIND_RLOCK, .end = lock_end, .show = lock_show};

const struct mp_lua_condition mp_lua_lock_conditions[] = {
    {MP_LIMIT, "ValueError", "semaphore or lock released too many times"},
    {MP_NOT_OWNER, "ProcessError", "attempt to release recursive lock not owned by this process"},
    {0, NULL, NULL}};

static const struct mp_lua_lockable lock_how = {&mp_lua_lock_type, NULL, mp_lock_acquire,
                                                mp_lock_release, mp_lua_lock_conditions};
static const struct mp_lua_lockable rlock_how = {&mp_lua_rlock_type, NULL, mp_rlock_acquire,
                                                 mp_rlock_release, mp_lua_lock_conditions};

/* The functions are written out for each type: they are the ones that every line of a loop
** calls. */
static int lock_acquire(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &mp_lua_lock_type);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  return mp_lua_acquired(L, mp_lua_acquire(L, u->handle, until, mp_lock_acquire), "Lock");
}

static int rlock_acquire(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &mp_lua_rlock_type);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  return mp_lua_acquired(L, mp_lua_acquire(L, u->handle, until, mp_rlock_acquire), "RLock");
}

static int lock_release(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &mp_lua_lock_type);
  mp_lua_result_as(L, mp_lock_release(u->handle), "Lock", mp_lua_lock_conditions);
  return 0;
}

static int rlock_release(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &mp_lua_rlock_type);
  mp_lua_result_as(L, mp_rlock_release(u->handle), "RLock", mp_lua_lock_conditions);
  return 0;
}

/* The open lock of either type at 1; the first type is what a message asks for. */
static struct mp_handle *either(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  bool recursive = u != NULL && mp_lua_handle_type(u) == &mp_lua_rlock_type;
  return mp_lua_handle_check(L, 1, recursive ? &mp_lua_rlock_type : &mp_lua_lock_type)->handle;
}

static int lock_locked(lua_State *L) {
  lua_pushboolean(L, mp_lock_locked(either(L)));
  return 1;
}

static int lock_abandoned(lua_State *L) {
  int pid, code;
  if (mp_lock_abandoned(either(L), &pid, &code) != 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, pid);
  if (code == MP_EXIT_UNKNOWN)
    lua_pushnil(L);
  else
    lua_pushinteger(L, code);
  return 2;
}

static int lock_make(lua_State *L, const struct mp_lua_type *type,
                     int (*make)(mp_context *, mp_lock **)) {
  static const struct mp_lua_option none[] = {{NULL, MP_LUA_ANY}};
  mp_lua_options(L, 1, none);
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_handle *u = mp_lua_handle_new(L, type);
  mp_lua_result(L, make(c, &u->handle), type->name);
  return 1;
}
static int lock_new(lua_State *L) {
  return lock_make(L, &mp_lua_lock_type, mp_lock_new);
}
static int rlock_new(lua_State *L) {
  return lock_make(L, &mp_lua_rlock_type, mp_rlock_new);
}

static const luaL_Reg lock_methods[] = {{"acquire", lock_acquire},
                                        {"release", lock_release},
                                        {"locked", lock_locked},
                                        {"abandoned", lock_abandoned},
                                        {NULL, NULL}};
static const luaL_Reg rlock_methods[] = {{"acquire", rlock_acquire},
                                         {"release", rlock_release},
                                         {"locked", lock_locked},
                                         {"abandoned", lock_abandoned},
                                         {NULL, NULL}};
static const luaL_Reg lock_functions[] = {
    {"Lock", lock_new}, {"RLock", rlock_new}, {NULL, NULL}};

void mp_lua_open_lock(lua_State *L) {
  mp_lua_type(L, &mp_lua_lock_type, lock_methods, NULL);
  mp_lua_type(L, &mp_lua_rlock_type, rlock_methods, NULL);
  mp_lua_guard_type(L, &lock_how);
  mp_lua_guard_type(L, &rlock_how);
  mp_lua_functions(L, lock_functions);
}
