/*
** AsyncResult: what a task in flight will give.
**
** Whoever waits for one result takes in all that come meanwhile (pool_arrive.c). Callbacks are put in
** a line and called between two arrivals, never inside of each other; what one raises is kept for
** join and poll.
*/
#include <string.h>

#include "nouns.h"
#include "pool.h"

static const char result_type[] = "multiprocessing.AsyncResult";

struct result *mp_lua_result_new(lua_State *L, int pool) {
  struct result *r = (struct result *)lua_newuserdatauv(L, sizeof *r, RESULT_VALUES);
  memset(r, 0, sizeof *r);
  luaL_setmetatable(L, result_type);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, RESULT_FUNCTION);
  lua_pushvalue(L, pool);
  lua_setiuservalue(L, -2, RESULT_POOL);
  return r;
}

void mp_lua_result_expect(lua_State *L, int pool, int result, uint64_t id, lua_Integer place) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  struct result *r = (struct result *)lua_touserdata(L, result);
  lua_Integer serial = (lua_Integer)(id >> 32);
  if (r->sink == SINK_RESULT && r->tasks++ == 0) r->id = id;
  p->open++;
  mp_lua_pool_book(L, pool, BOOK_TASKS);
  lua_pushvalue(L, result);
  lua_rawseti(L, -2, serial);
  lua_pop(L, 1);
  if (place == 1) return;
  mp_lua_pool_book(L, pool, BOOK_PLACES);
  lua_pushinteger(L, place);
  lua_rawseti(L, -2, serial);
  lua_pop(L, 1);
}

/* ---- the end of a result ---- */

void mp_lua_result_due(lua_State *L, int pool, int result) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  mp_lua_pool_book(L, pool, BOOK_DUE);
  lua_pushvalue(L, result);
  lua_rawseti(L, -2, (lua_Integer)++p->due);
  lua_pop(L, 1);
}

void mp_lua_result_over(lua_State *L, int pool, int result) {
  struct result *r = (struct result *)lua_touserdata(L, result);
  if (r->state == RESULT_OPEN) r->state = RESULT_DONE;
  lua_pushnil(L);
  lua_setiuservalue(L, result, RESULT_FUNCTION);
  if (r->called || r->watched) mp_lua_result_due(L, pool, result);
}

/* extras.key = the value on top, which is popped. */
void mp_lua_result_extra(lua_State *L, int result, const char *key) {
  if (lua_getiuservalue(L, result, RESULT_EXTRAS) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, result, RESULT_EXTRAS);
  }
  lua_insert(L, -2);
  lua_setfield(L, -2, key);
  lua_pop(L, 1);
}

/* ---- callbacks ---- */

static void push_values(lua_State *L, const struct result *r, int result) {
  lua_getiuservalue(L, result, RESULT_VALUE);
  if (r->many || r->state == RESULT_FAILED || r->values == 1) return;
  int list = lua_gettop(L);
  luaL_checkstack(L, (int)r->values + 1, "too many results");
  for (uint32_t i = 1; i <= r->values; i++) lua_rawgeti(L, list, i);
  lua_remove(L, list);
}

/* Tells how far the result at 1 is, if somebody wants to know. */
static void call_progress(lua_State *L, const struct result *r) {
  if (!r->watched || lua_getfield(L, 2, "progress") == LUA_TNIL) return;
  lua_pushinteger(L, (lua_Integer)r->done);
  lua_pushinteger(L, (lua_Integer)r->count);
  lua_call(L, 2, 0);
}

/* call_one(result): its callback, if it is over. */
static int call_one(lua_State *L) {
  struct result *r = (struct result *)lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, RESULT_EXTRAS);
  call_progress(L, r);
  lua_settop(L, 2);
  if (r->state == RESULT_OPEN || !r->called) return 0;
  r->called = false;
  lua_getfield(L, 2, r->state == RESULT_FAILED ? "error_callback" : "callback");
  if (lua_isnil(L, 3)) return 0;
  push_values(L, r, 1);
  lua_call(L, lua_gettop(L) - 3, 0);
  return 0;
}

static bool is_interruption(lua_State *L, int index) {
  size_t n;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
  return text != NULL && n >= 12 && strcmp(text + n - 12, "interrupted!") == 0;
}

/* call_due(pool) */
static int call_due(lua_State *L) {
  struct pool *p = (struct pool *)lua_touserdata(L, 1);
  mp_lua_pool_book(L, 1, BOOK_DUE);
  mp_lua_pool_book(L, 1, BOOK_ERRORS);
  while (p->due_done < p->due) {
    lua_pushcfunction(L, call_one);
    lua_rawgeti(L, 2, (lua_Integer)++p->due_done);
    lua_pushnil(L);
    lua_rawseti(L, 2, (lua_Integer)p->due_done);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK) continue;
    if (is_interruption(L, -1)) lua_error(L);
    lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
  }
  p->due = p->due_done = 0;
  return 0;
}

void mp_lua_pool_call_back(lua_State *L, int pool) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  if (p->calling || p->due == p->due_done) return;
  p->calling = true;
  lua_pushcfunction(L, call_due);
  lua_pushvalue(L, pool);
  int status = lua_pcall(L, 1, 0, 0);
  p->calling = false;
  if (status != LUA_OK) lua_error(L);
}

void mp_lua_pool_raise(lua_State *L, int pool) {
  mp_lua_pool_book(L, pool, BOOK_ERRORS);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (n > 0) {
    lua_rawgeti(L, -1, 1);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_rawgeti(L, -2, i + 1);
      lua_rawseti(L, -3, i);
    }
    lua_error(L);
  }
  lua_pop(L, 1);
}

/* ---- waiting ---- */

static bool is_over(const struct pool *p, const struct result *r) {
  return r != NULL ? r->state != RESULT_OPEN : p->open == 0;
}

bool mp_lua_pool_step(lua_State *L, int pool, mp_deadline until) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  struct mp_pool_result task;
  for (;;) {
    int r = mp_pool_collect(p->base.handle, until, &task);
    if (r == MP_INTERRUPTED && mp_lua_interrupt(L)) continue;
    if (r == 0) mp_lua_pool_arrive(L, pool, &task);
    else if (r == MP_BROKEN) mp_lua_pool_broke(L, pool);
    return r == 0 || r == MP_BROKEN;
  }
}

bool mp_lua_pool_wait(lua_State *L, int pool, const struct result *r, mp_deadline until) {
  const struct pool *p = (const struct pool *)lua_touserdata(L, pool);
  pool = lua_absindex(L, pool);
  for (;;) {
    mp_lua_pool_call_back(L, pool);
    if (is_over(p, r)) return true;
    if (!mp_lua_pool_step(L, pool, until)) return false;
  }
}

/* ---- methods ---- */

struct result *mp_lua_result_check(lua_State *L, int arg) {
  struct result *r = (struct result *)luaL_testudata(L, arg, result_type);
  if (r == NULL) mp_lua_raise_type(L, arg, "AsyncResult");
  return r;
}

/* Waits for the result at argument 1. */
static bool result_wait(lua_State *L, const struct result *r, mp_deadline until) {
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

/* get([timeout]): all values of the call, the list of the map, or raises what was raised. */
static int result_get(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  mp_deadline until = mp_lua_timeout(L, 2);
  if (!result_wait(L, r, until)) mp_lua_raise(L, "TimeoutError", "the result is not there yet");
  lua_settop(L, 1);
  push_values(L, r, 1);
  if (r->state == RESULT_FAILED) return lua_error(L);
  return lua_gettop(L) - 1;
}

static int result_wait_for(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  lua_pushboolean(L, result_wait(L, r, mp_lua_timeout(L, 2)));
  return 1;
}

/* Takes in what has arrived, but calls nothing. */
static struct result *result_look(lua_State *L) {
  struct result *r = mp_lua_result_check(L, 1);
  if (r->state == RESULT_OPEN) {
    lua_getiuservalue(L, 1, RESULT_POOL);
    int pool = lua_gettop(L);
    mp_lua_pool_check(L, pool);
    mp_lua_pool_drain(L, pool);
    lua_pop(L, 1);
  }
  return r;
}

static int result_ready(lua_State *L) {
  lua_pushboolean(L, result_look(L)->state != RESULT_OPEN);
  return 1;
}

static int result_successful(lua_State *L) {
  const struct result *r = result_look(L);
  if (r->state == RESULT_OPEN) mp_lua_raise(L, "ValueError", "the result is not ready");
  lua_pushboolean(L, r->state == RESULT_DONE);
  return 1;
}

/* The remote traceback of what failed, or nil. */
static int result_traceback(lua_State *L) {
  const struct result *r = result_look(L);
  if (r->state != RESULT_FAILED || lua_getiuservalue(L, 1, RESULT_EXTRAS) != LUA_TTABLE) return 0;
  lua_getfield(L, -1, "traceback");
  return 1;
}

bool mp_lua_result_cancel(lua_State *L, int pool, int result) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  const struct result *r = (const struct result *)lua_touserdata(L, result);
  bool any = !r->many && mp_pool_cancel(p->base.handle, r->id, true) == 0;
  int top = lua_gettop(L);
  if (lua_getiuservalue(L, result, RESULT_TASKS) == LUA_TTABLE)
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++, lua_pop(L, 1))
      any |= mp_pool_cancel(p->base.handle, (uint64_t)lua_tointeger(L, -1), true) == 0;
  lua_settop(L, top);
  if (any) mp_supervisor_notify(&p->supervisor);
  return any;
}

static int result_cancel(lua_State *L) {
  const struct result *r = result_look(L);
  bool any = false;
  if (r->state == RESULT_OPEN) {
    lua_getiuservalue(L, 1, RESULT_POOL);
    any = mp_lua_result_cancel(L, lua_gettop(L), 1);
  }
  lua_pushboolean(L, any);
  return 1;
}

static int result_tostring(lua_State *L) {
  static const char *const words[] = {"pending", "done", "failed"};
  const struct result *r = mp_lua_result_check(L, 1);
  lua_pushfstring(L, "AsyncResult #%I (%s)", (LUAI_UACINT)(r->id >> 32), words[r->state]);
  return 1;
}

static const luaL_Reg result_methods[] = {{"get", result_get},
                                          {"wait", result_wait_for},
                                          {"ready", result_ready},
                                          {"successful", result_successful},
                                          {"traceback", result_traceback},
                                          {"cancel", result_cancel},
                                          {NULL, NULL}};

void mp_lua_result_open(lua_State *L) {
  luaL_newmetatable(L, result_type);
  lua_pushcfunction(L, result_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "AsyncResult");
  lua_setfield(L, -2, "__name");
  luaL_newlib(L, result_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
