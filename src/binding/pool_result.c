/*
** AsyncResult: what a task in flight will give.
**
** Whoever waits for one result takes in all that come meanwhile (pool_arrive.c). Callbacks are put
** in a line and called between two arrivals, never inside of each other; what one raises is kept
** for join and poll.
*/
#include <string.h>

#include "nouns.h"
#include "pool.h"

const char mp_lua_result_type[] = "multiprocessing.AsyncResult";
const char mp_lua_future_type[] = "multiprocessing.Future";
static const char mark;
void *const mp_lua_result_mark = (void *)(uintptr_t)&mark;

struct result *mp_lua_result_new(lua_State *L, int pool, bool future) {
  struct result *r = (struct result *)lua_newuserdatauv(L, sizeof *r, RESULT_VALUES);
  memset(r, 0, sizeof *r);
  r->future = future;
  lua_rawgetp(L, LUA_REGISTRYINDEX, future ? mp_lua_future_type : mp_lua_result_type);
  lua_setmetatable(L, -2);
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

void mp_lua_result_push(lua_State *L, const struct result *r, int result) {
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
  if (lua_getfield(L, 2, "tell") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
  }
  lua_settop(L, 2);
  lua_getfield(L, 2, r->state == RESULT_FAILED ? "error_callback" : "callback");
  if (lua_isnil(L, 3)) return 0;
  mp_lua_result_push(L, r, 1);
  lua_call(L, lua_gettop(L) - 3, 0);
  return 0;
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
    if (mp_lua_is_interruption(L, -1)) lua_error(L);
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

void mp_lua_pool_listen(lua_State *L, int pool) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  if (p->listening) return;
  mp_lua_require(L, "multiprocessing.pool");
  lua_getfield(L, -1, "listen");
  lua_pushvalue(L, pool);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
  p->listening = true;
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

static bool pool_step(lua_State *L, int pool, uint32_t many, mp_deadline until) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  struct mp_pool_result task;
  for (;;) {
    int r = mp_pool_collect_many(p->base.handle, many, until, &task);
    if (r == MP_INTERRUPTED && mp_lua_interrupt(L)) continue;
    if (r == 0) mp_lua_pool_arrive(L, pool, &task);
    else if (r == MP_BROKEN) mp_lua_pool_broke(L, pool);
    else if (r == MP_CLOSED) mp_lua_pool_fail(L, pool, "CancelledError", "the pool was terminated");
    return r == 0 || r == MP_BROKEN || r == MP_CLOSED;
  }
}

bool mp_lua_pool_step(lua_State *L, int pool, mp_deadline until) {
  return pool_step(L, pool, 1, until);
}

/* A map that is waited for needs all its tasks: it is enough to come back when half of those that
** are open are over. Not where somebody is to be told of each, or a callback may be due. */
static uint32_t step_size(const struct pool *p, const struct result *r) {
  bool many = r != NULL && r->many && !r->watched && !p->listening && r->tasks > 3;
  return many ? r->tasks / 2 : 1;
}

bool mp_lua_pool_wait(lua_State *L, int pool, const struct result *r, mp_deadline until) {
  const struct pool *p = (const struct pool *)lua_touserdata(L, pool);
  pool = lua_absindex(L, pool);
  for (;;) {
    mp_lua_pool_call_back(L, pool);
    if (is_over(p, r)) return true;
    if (!pool_step(L, pool, step_size(p, r), until)) return false;
  }
}

/* ---- one result ---- */

struct result *mp_lua_result_test(lua_State *L, int index) {
  void *u = lua_touserdata(L, index);
  if (u == NULL || !lua_getmetatable(L, index)) return NULL;
  bool is =
      lua_rawgeti(L, -1, 1) == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == mp_lua_result_mark;
  lua_pop(L, 2);
  return is ? (struct result *)u : NULL;
}

struct result *mp_lua_result_check(lua_State *L, int arg) {
  struct result *r = mp_lua_result_test(L, arg);
  if (r == NULL) mp_lua_raise_type(L, arg, "AsyncResult");
  return r;
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
