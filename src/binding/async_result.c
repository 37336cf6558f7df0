/*
** AsyncResult and Future: their methods.
**
** Both are the same userdata (pool_result.c); a Future has the names that Python's has, and is not
** taken from a worker that runs it.
*/
#include <string.h>

#include "pool.h"

/* ---- methods ---- */

bool mp_lua_result_wait(lua_State *L, const struct result *r, mp_deadline until) {
  int top = lua_gettop(L);
  if (r->state != RESULT_OPEN && !r->called) return true;
  lua_getiuservalue(L, 1, RESULT_POOL);
  const struct mp_lua_handle *u = (const struct mp_lua_handle *)lua_touserdata(L, -1);
  if (r->state != RESULT_OPEN && u->handle == NULL) return true;
  mp_lua_pool_check(L, top + 1);
  bool over = mp_lua_pool_wait(L, top + 1, r, until);
  lua_settop(L, top);
  return over;
}

/* Waits for the end; the time-out stands at 2. */
static void wait_for_end(lua_State *L, struct result *r) {
  if (!mp_lua_result_wait(L, r, mp_lua_timeout(L, 2)))
    mp_lua_raise(L, "TimeoutError", "the result is not there yet");
  lua_settop(L, 1);
}

/* get([timeout]): all values of the call, the list of the map, or raises what was raised. */
static int result_get(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  wait_for_end(L, r);
  mp_lua_result_push(L, r, 1);
  if (r->state == RESULT_FAILED) return lua_error(L);
  return lua_gettop(L) - 1;
}

static int result_wait_for(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  lua_pushboolean(L, mp_lua_result_wait(L, r, mp_lua_timeout(L, 2)));
  return 1;
}

struct result *mp_lua_result_look(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  lua_getiuservalue(L, 1, RESULT_POOL);
  int pool = lua_gettop(L);
  const struct pool *p = (const struct pool *)lua_touserdata(L, pool);
  if (r->state == RESULT_OPEN) mp_lua_pool_check(L, pool);
  if (mp_lua_pool_is_ours(p)) mp_lua_pool_drain(L, pool);
  lua_pop(L, 1);
  return r;
}

static int result_ready(lua_State *L) {
  lua_pushboolean(L, mp_lua_result_look(L)->state != RESULT_OPEN);
  return 1;
}

static int result_successful(lua_State *L) {
  const struct result *r = mp_lua_result_look(L);
  if (r->state == RESULT_OPEN) mp_lua_raise(L, "ValueError", "the result is not ready");
  lua_pushboolean(L, r->state == RESULT_DONE);
  return 1;
}

/* The remote traceback of what failed, or nil. */
static int result_traceback(lua_State *L) {
  const struct result *r = mp_lua_result_look(L);
  if (r->state != RESULT_FAILED || lua_getiuservalue(L, 1, RESULT_EXTRAS) != LUA_TTABLE) return 0;
  lua_getfield(L, -1, "traceback");
  return 1;
}

static int result_cancel(lua_State *L) {
  const struct result *r = mp_lua_result_look(L);
  bool any = false;
  if (r->state == RESULT_OPEN) {
    lua_getiuservalue(L, 1, RESULT_POOL);
    any = mp_lua_result_cancel(L, lua_gettop(L), 1);
  }
  lua_pushboolean(L, any);
  return 1;
}

/* A descriptor that is readable when a result of the pool has arrived: then look, with ready. */
static int result_fileno(lua_State *L) {
  int fd;
  (void)mp_lua_result_check(L, 1);
  lua_getiuservalue(L, 1, RESULT_POOL);
  const struct pool *p = mp_lua_pool_check(L, lua_gettop(L));
  mp_lua_result(L, mp_fileno(p->base.handle, &fd), "fileno");
  lua_pushinteger(L, fd);
  return 1;
}

/* ---- futures ---- */

static struct result *future_check(lua_State *L) {
  struct result *r = mp_lua_result_test(L, 1);
  if (r == NULL || !r->future) mp_lua_raise_type(L, 1, "Future");
  return r;
}

static bool is_cancelled(lua_State *L, const struct result *r) {
  if (r->state != RESULT_FAILED) return false;
  lua_getiuservalue(L, 1, RESULT_VALUE);
  bool is = luaL_getmetafield(L, -1, "__name") == LUA_TSTRING &&
            strcmp(lua_tostring(L, -1), "CancelledError") == 0;
  lua_settop(L, 1);
  return is;
}

/* exception([timeout]): what was raised, or nil. */
static int future_exception(lua_State *L) {
  struct result *r = future_check(L);
  wait_for_end(L, r);
  if (r->state != RESULT_FAILED) return 0;
  bool cancelled = is_cancelled(L, r);
  mp_lua_result_push(L, r, 1);
  return cancelled ? lua_error(L) : 1;
}

/* Is a worker at it, as far as this process can know? */
static bool is_running(lua_State *L, const struct result *r) {
  if (r->state != RESULT_OPEN || r->many) return false;
  lua_getiuservalue(L, 1, RESULT_POOL);
  const struct pool *p = (const struct pool *)lua_touserdata(L, -1);
  lua_pop(L, 1);
  return mp_lua_pool_is_ours(p) && mp_pool_is_running(p->base.handle, r->id);
}

static int result_tostring(lua_State *L) {
  static const char *const words[] = {"pending", "done", "failed"};
  const struct result *r = mp_lua_result_check(L, 1);
  const char *word = words[r->state];
  lua_settop(L, 1);
  if (is_cancelled(L, r)) word = "cancelled";
  if (is_running(L, r)) word = "running";
  lua_pushfstring(L, "%s #%I (%s)", r->future ? "Future" : "AsyncResult",
                  (LUAI_UACINT)(r->id >> 32), word);
  return 1;
}

static int future_cancelled(lua_State *L) {
  (void)future_check(L);
  const struct result *r = mp_lua_result_look(L);
  lua_settop(L, 1);
  lua_pushboolean(L, is_cancelled(L, r));
  return 1;
}

static int future_running(lua_State *L) {
  (void)future_check(L);
  lua_pushboolean(L, is_running(L, mp_lua_result_look(L)));
  return 1;
}

/* cancel(): only what does not run yet. */
static int future_cancel(lua_State *L) {
  (void)future_check(L);
  const struct result *r = mp_lua_result_look(L);
  lua_settop(L, 1);
  bool done = is_cancelled(L, r);
  if (r->state == RESULT_OPEN) {
    lua_getiuservalue(L, 1, RESULT_POOL);
    struct pool *p = (struct pool *)lua_touserdata(L, -1);
    done = mp_pool_cancel(p->base.handle, r->id, false) == 0;
    if (done) mp_lua_pool_drain(L, 2);
    if (done) mp_lua_pool_call_back(L, 2);
  }
  lua_pushboolean(L, done);
  return 1;
}

/* result_tell(result, f): f(result) is to be called when it is over. False: it is. */
static int result_tell(lua_State *L) {
  struct result *r = mp_lua_result_look(L);
  lua_settop(L, 2);
  lua_pushboolean(L, r->state == RESULT_OPEN);
  if (r->state != RESULT_OPEN) return 1;
  lua_pushvalue(L, 2);
  mp_lua_result_extra(L, 1, "tell");
  lua_getiuservalue(L, 1, RESULT_POOL);
  mp_lua_pool_listen(L, lua_gettop(L));
  lua_pop(L, 1);
  r->called = true;
  return 1;
}

/* result_step(result [, timeout]): takes in one task more of its pool; false: the time is up. */
static int result_step(lua_State *L) {
  (void)mp_lua_result_check(L, 1);
  mp_deadline until = mp_lua_timeout(L, 2);
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, RESULT_POOL);
  mp_lua_pool_check(L, 2);
  lua_pushboolean(L, mp_lua_pool_step(L, 2, until));
  mp_lua_pool_call_back(L, 2);
  return 1;
}

/* result_pool(result) */
static int result_pool(lua_State *L) {
  (void)mp_lua_result_check(L, 1);
  lua_getiuservalue(L, 1, RESULT_POOL);
  return 1;
}

static const luaL_Reg result_functions[] = {{"result_tell", result_tell},
                                            {"result_step", result_step},
                                            {"result_pool", result_pool},
                                            {NULL, NULL}};

static const luaL_Reg future_methods[] = {{"result", result_get},
                                          {"exception", future_exception},
                                          {"done", result_ready},
                                          {"running", future_running},
                                          {"cancel", future_cancel},
                                          {"cancelled", future_cancelled},
                                          {"traceback", result_traceback},
                                          {"fileno", result_fileno},
                                          {NULL, NULL}};

static const luaL_Reg result_methods[] = {{"get", result_get},
                                          {"wait", result_wait_for},
                                          {"ready", result_ready},
                                          {"successful", result_successful},
                                          {"traceback", result_traceback},
                                          {"cancel", result_cancel},
                                          {"fileno", result_fileno},
                                          {NULL, NULL}};

/* The metatable is found by the address of `key`, and by the name for those who look by names. */
static void make_type(lua_State *L, const char *key, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, key);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
  lua_pushcfunction(L, result_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushcfunction(L, mp_lua_no_field);
  lua_setfield(L, -2, "__newindex");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushlightuserdata(L, mp_lua_result_mark);
  lua_rawseti(L, -2, 1);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  mp_lua_types(L);
  lua_insert(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

void mp_lua_result_open(lua_State *L) {
  mp_lua_functions(L, result_functions);
  make_type(L, mp_lua_result_type, "AsyncResult", result_methods);
  make_type(L, mp_lua_future_type, "Future", future_methods);
}
