/*
** Semaphore and BoundedSemaphore.
*/
#include "guard.h"
#include "nouns.h"

static bool is_bounded(const struct mp_handle *h) {
  return (mp_semaphore_flags(h) & MP_SEMAPHORE_BOUNDED) != 0;
}
static bool owns_bounded(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return is_bounded(h);
}
static bool owns_unbounded(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return !is_bounded(h);
}

static void semaphore_end(struct mp_lua_handle *u) {
  mp_semaphore_settle(u->handle);
}

static void semaphore_show(lua_State *L, struct mp_lua_handle *u) {
  lua_pushfstring(L, "value %d", (int)mp_semaphore_value(u->handle));
}

static const struct mp_lua_type plain_type = {.name = "Semaphore",
                                              .noun = "semaphore",
                                              .kind = MP_KIND_SEMAPHORE,
                                              .owns = owns_unbounded,
                                              .end = semaphore_end,
                                              .show = semaphore_show};
static const struct mp_lua_type bounded_type = {.name = "BoundedSemaphore",
                                                .noun = "semaphore",
                                                .kind = MP_KIND_SEMAPHORE,
                                                .owns = owns_bounded,
                                                .end = semaphore_end,
                                                .show = semaphore_show};

static const struct mp_lua_lockable plain_how = {&plain_type, NULL, mp_semaphore_acquire,
                                                 mp_semaphore_release, mp_lua_lock_conditions};
static const struct mp_lua_lockable bounded_how = {&bounded_type, NULL, mp_semaphore_acquire,
                                                   mp_semaphore_release, mp_lua_lock_conditions};

/* The open semaphore of either type at 1. */
static struct mp_lua_handle *either(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  bool bounded = u != NULL && mp_lua_handle_type(u) == &bounded_type;
  return mp_lua_handle_check(L, 1, bounded ? &bounded_type : &plain_type);
}

static int semaphore_acquire(lua_State *L) {
  struct mp_lua_handle *u = either(L);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  return mp_lua_acquired(L, mp_lua_acquire(L, u->handle, until, mp_semaphore_acquire), "Semaphore");
}

static int semaphore_release(lua_State *L) {
  const struct mp_lua_handle *u = either(L);
  if (mp_unlikely(!lua_isnone(L, 2))) mp_lua_raise_type(L, 2, "no value"); /* a count, perhaps */
  mp_lua_result_as(L, mp_semaphore_release(u->handle), "Semaphore", mp_lua_lock_conditions);
  return 0;
}

static int semaphore_value(lua_State *L) {
  lua_pushinteger(L, mp_semaphore_value(either(L)->handle));
  return 1;
}

static int semaphore_locked(lua_State *L) {
  lua_pushboolean(L, mp_semaphore_value(either(L)->handle) == 0);
  return 1;
}

/* Who died with units of it is not told: they came back, or are gone. */
static int semaphore_abandoned(lua_State *L) {
  (void)either(L);
  lua_pushnil(L);
  return 1;
}

/* {n, undo = true} -> {value = n, undo = true} */
static void name_first_option(lua_State *L) {
  if (!lua_istable(L, 1) || lua_rawgeti(L, 1, 1) == LUA_TNIL) return;
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 1) != 0;) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_settable(L, -4);
  }
  lua_pushnil(L);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "value");
  lua_replace(L, 1);
}

static int semaphore_make(lua_State *L, const struct mp_lua_type *type, unsigned flags) {
  struct mp_context *c = mp_lua_context(L);
  lua_Integer value = lua_isnil(L, 1) ? 1 : lua_tointeger(L, 1);
  if (value < 0 || value > (lua_Integer)MP_SEMAPHORE_MAX)
    return mp_lua_raise(L, "ValueError", "%s: its value must be from 0 to %d, got %I", type->name,
                        (int)MP_SEMAPHORE_MAX, (LUAI_UACINT)value);
  mp_semaphore_options o = {(unsigned)value, flags};
  struct mp_lua_handle *u = mp_lua_handle_new(L, type);
  mp_lua_result(L, mp_semaphore_new(c, &o, &u->handle), type->name);
  return 1;
}

static int semaphore_new(lua_State *L) {
  static const struct mp_lua_option options[] = {
      {"value", MP_LUA_INTEGER}, {"undo", MP_LUA_BOOLEAN}, {NULL, MP_LUA_ANY}};
  name_first_option(L);
  mp_lua_options(L, 1, options);
  return semaphore_make(L, &plain_type, lua_toboolean(L, 2) ? MP_SEMAPHORE_UNDO : 0);
}

static int bounded_new(lua_State *L) {
  static const struct mp_lua_option options[] = {{"value", MP_LUA_INTEGER}, {NULL, MP_LUA_ANY}};
  name_first_option(L);
  mp_lua_options(L, 1, options);
  return semaphore_make(L, &bounded_type, MP_SEMAPHORE_BOUNDED);
}

static const luaL_Reg semaphore_methods[] = {{"acquire", semaphore_acquire},
                                             {"release", semaphore_release},
                                             {"get_value", semaphore_value},
                                             {"locked", semaphore_locked},
                                             {"abandoned", semaphore_abandoned},
                                             {NULL, NULL}};
static const luaL_Reg semaphore_functions[] = {
    {"Semaphore", semaphore_new}, {"BoundedSemaphore", bounded_new}, {NULL, NULL}};

void mp_lua_open_semaphore(lua_State *L) {
  mp_lua_type(L, &plain_type, semaphore_methods, NULL);
  mp_lua_type(L, &bounded_type, semaphore_methods, NULL);
  mp_lua_guard_type(L, &plain_how);
  mp_lua_guard_type(L, &bounded_how);
  mp_lua_functions(L, semaphore_functions);
}
