/*
** Condition. Its userdata has the handle of its lock beside its own.
*/
#include "guard.h"
#include "nouns.h"

struct mp_lua_condition_handle {
  struct mp_lua_handle base;
  mp_lock *lock; /* NULL: not opened yet */
};

static struct mp_lua_condition_handle *condition_of(struct mp_lua_handle *u) {
  return (struct mp_lua_condition_handle *)u;
}

static void condition_end(struct mp_lua_handle *u) {
  condition_of(u)->lock = mp_lock_close(condition_of(u)->lock);
}

static void condition_begin(struct mp_lua_handle *u) {
  struct mp_lua_condition_handle *n = condition_of(u);
  if (n->lock == NULL && mp_condition_lock(u->handle, &n->lock) != 0) n->lock = NULL;
}

static void condition_show(lua_State *L, struct mp_lua_handle *u) {
  const mp_lock *lock = condition_of(u)->lock;
  bool locked = lock != NULL && mp_lock_locked(lock);
  lua_pushfstring(L, "%s, %d waiting", locked ? "locked" : "unlocked",
                  (int)mp_condition_waiting(u->handle));
}

static const struct mp_lua_type condition_type = {
    .name = "Condition", .noun = "condition", .kind = MP_KIND_CONDITION,
    .size = sizeof(struct mp_lua_condition_handle), .end = condition_end,
    .begin = condition_begin, .show = condition_show};

/* ---- the lock ---- */

static int any_acquire(struct mp_handle *lock, mp_deadline until) {
  return (mp_sync_is(lock, MP_KIND_RLOCK) ? mp_rlock_acquire : mp_lock_acquire)(lock, until);
}
static int any_release(struct mp_handle *lock) {
  return (mp_sync_is(lock, MP_KIND_RLOCK) ? mp_rlock_release : mp_lock_release)(lock);
}
static struct mp_handle *lock_of(struct mp_lua_handle *u) {
  return condition_of(u)->lock;
}

static const struct mp_lua_lockable condition_how = {&condition_type, lock_of, any_acquire,
                                                     any_release, mp_lua_lock_conditions};

/* The open condition at 1, with its lock. */
static struct mp_lua_condition_handle *condition_check(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &condition_type);
  struct mp_lua_condition_handle *n = condition_of(u);
  if (n->lock == NULL) mp_lua_result(L, mp_condition_lock(u->handle, &n->lock), "Condition");
  return n;
}

static int condition_acquire(lua_State *L) {
  struct mp_lua_condition_handle *n = condition_check(L);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  return mp_lua_acquired(L, mp_lua_acquire(L, n->lock, until, any_acquire), "Condition");
}

static int condition_release(lua_State *L) {
  mp_lua_result_as(L, any_release(condition_check(L)->lock), "Condition", mp_lua_lock_conditions);
  return 0;
}

/* ---- wait and notify ---- */

static int wait_once(lua_State *L, struct mp_lua_condition_handle *n, mp_deadline until,
                     int *abandoned) {
  static const struct mp_lua_condition conditions[] = {
      {MP_NOT_OWNER, "ProcessError", "must acquire() condition before using wait()"},
      {0, NULL, NULL}};
  int r, died = 0;
  do {
    int again = 0;
    r = mp_condition_wait(n->base.handle, n->lock, until, &again);
    died |= again;
  } while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  if (r != MP_TIMEOUT) mp_lua_result_as(L, r, "Condition", conditions);
  *abandoned = died;
  return r;
}

static int condition_wait(lua_State *L) {
  struct mp_lua_condition_handle *n = condition_check(L);
  int abandoned;
  lua_pushboolean(L, wait_once(L, n, mp_lua_timeout(L, 2), &abandoned) == 0);
  if (!abandoned) return 1;
  lua_pushliteral(L, "abandoned");
  return 2;
}

/* wait_for(predicate [, timeout]): what the predicate gave last. */
static int condition_wait_for(lua_State *L) {
  (void)condition_check(L);
  mp_deadline until = mp_lua_timeout(L, 3);
  int abandoned, r = 0;
  if (!mp_lua_is_callable(L, 2)) mp_lua_raise_type(L, 2, "function");
  for (;;) {
    lua_pushvalue(L, 2);
    lua_call(L, 0, 1);
    if (lua_toboolean(L, -1) || r == MP_TIMEOUT) return 1;
    lua_pop(L, 1);
    r = wait_once(L, condition_check(L), until, &abandoned); /* it may have been closed */
  }
}

static int notify(lua_State *L, uint32_t many) {
  static const struct mp_lua_condition conditions[] = {
      {MP_NOT_OWNER, "ProcessError", "must acquire() condition before using notify()"},
      {0, NULL, NULL}};
  struct mp_lua_condition_handle *n = condition_check(L);
  int r = mp_condition_notify(n->base.handle, n->lock, many);
  mp_lua_result_as(L, r, "Condition", conditions);
  return 0;
}

static int condition_notify(lua_State *L) {
  static const struct mp_lua_option options[] = {{"n", MP_LUA_INTEGER}, {NULL, MP_LUA_ANY}};
  (void)condition_check(L);
  mp_lua_options(L, 2, options);
  lua_Integer n = lua_isnil(L, 2) ? 1 : lua_tointeger(L, 2);
  if (n < 0)
    return mp_lua_raise(L, "ValueError", "notify: n must not be negative, got %I", (LUAI_UACINT)n);
  return notify(L, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
}

static int condition_notify_all(lua_State *L) {
  return notify(L, UINT32_MAX);
}

/* ---- making one ---- */

/* The lock at 1, or a new RLock in *made. */
static mp_lock *lock_option(lua_State *L, struct mp_context *c, mp_lock **made) {
  if (lua_isnil(L, 1)) {
    mp_lua_result(L, mp_rlock_new(c, made), "Condition");
    return *made;
  }
  const struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  const struct mp_lua_type *type = u != NULL ? mp_lua_handle_type(u) : NULL;
  if (type != &mp_lua_lock_type && type != &mp_lua_rlock_type)
    mp_lua_raise(L, "TypeError", "Condition: lock must be a Lock or an RLock, not %s",
                 mp_lua_show(L, 1));
  return mp_lua_handle_check(L, 1, type)->handle;
}

static int condition_new(lua_State *L) {
  static const struct mp_lua_option options[] = {{"lock", MP_LUA_ANY}, {NULL, MP_LUA_ANY}};
  mp_lua_options(L, 1, options);
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_handle *u = mp_lua_handle_new(L, &condition_type);
  mp_lock *made = NULL, *lock = lock_option(L, c, &made);
  int r = mp_condition_new(c, lock, &u->handle);
  if (r == 0) r = mp_condition_lock(u->handle, &condition_of(u)->lock);
  mp_lock_close(made);
  mp_lua_result(L, r, "Condition");
  return 1;
}

static const luaL_Reg condition_methods[] = {{"acquire", condition_acquire},
                                             {"release", condition_release},
                                             {"wait", condition_wait},
                                             {"wait_for", condition_wait_for},
                                             {"notify", condition_notify},
                                             {"notify_all", condition_notify_all},
                                             {NULL, NULL}};
static const luaL_Reg condition_functions[] = {{"Condition", condition_new}, {NULL, NULL}};

void mp_lua_open_condition(lua_State *L) {
  mp_lua_type(L, &condition_type, condition_methods, NULL);
  mp_lua_guard_type(L, &condition_how);
  mp_lua_functions(L, condition_functions);
}
