/*
** Arrivals: what workers have given goes into the AsyncResults that wait for it.
**
** A call's values, or a place in a map's list; what failed becomes an error object when it arrives
** (lua/multiprocessing/result.lua makes them). A task is taken in as a whole and then freed; when
** memory ends half-way it is still there, to be read again.
*/
#include <string.h>

#include "../codec/scalar.h"
#include "pool.h"

/* Stack slots that taking in one task uses. */
#define ROOM 24

/* The error and its traceback are on top: the result's, if no earlier item has failed. */
static void take_error(lua_State *L, int result, uint64_t index) {
  struct result *r = (struct result *)lua_touserdata(L, result);
  if (r->failed != 0 && r->failed < index) {
    lua_pop(L, 2);
    return;
  }
  r->failed = index;
  mp_lua_result_extra(L, result, "traceback");
  mp_lua_result_extra(L, result, "error");
}

/* ---- items ---- */

/* Pushes what the function of that name in result.lua makes of n values on top. */
static void make_error(lua_State *L, const char *name, int n, int results) {
  mp_lua_require(L, "multiprocessing.result");
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  lua_insert(L, -n - 1);
  lua_call(L, n, results);
}

/* A failure that travelled, on top as {how, value, traceback}: the error and its traceback. */
static int decode_failure(lua_State *L) {
  const struct mp_parcel *p = (const struct mp_parcel *)lua_touserdata(L, 1);
  int n = mp_lua_decode(L, p->bytes, p->length, MP_CODEC_FULL | MP_CODEC_VALUES);
  make_error(L, "raised", n, 2);
  return 2;
}

/* decode_item(arrival): its values. */
static int decode_item(lua_State *L) {
  const struct arrival *a = (const struct arrival *)lua_touserdata(L, 1);
  unsigned mode = MP_CODEC_FULL | (a->single ? 0u : (unsigned)MP_CODEC_VALUES);
  return mp_lua_decode(L, a->item.parcel.bytes, a->item.parcel.length, mode);
}

/* The name of the task's function, and its arguments as values or as a list. */
static int decode_task(lua_State *L) {
  const struct arrival *a = (const struct arrival *)lua_touserdata(L, 1);
  struct pool *p = (struct pool *)lua_touserdata(L, 2);
  struct mp_parcel task = mp_pool_parcel(p->base.handle, &a->task);
  struct task_trailer trailer;
  memcpy(&trailer, (const char *)task.bytes + task.length - sizeof trailer, sizeof trailer);
  unsigned mode = MP_CODEC_FULL | (trailer.form == FORM_CALL ? (unsigned)MP_CODEC_VALUES : 0u);
  int n = mp_lua_decode(L, task.bytes, task.length - sizeof trailer, mode);
  lua_pushinteger(L, trailer.form);
  lua_insert(L, 3);
  return n + 1;
}

/* Pushes the text of what the worker was running: its function and arguments. */
static void push_task_text(lua_State *L, struct arrival *a) {
  int top = lua_gettop(L);
  lua_getiuservalue(L, a->result, RESULT_FUNCTION);
  if (lua_isnil(L, -1)) lua_pushliteral(L, "?");
  else mp_lua_pool_function_name(L, top + 1);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  lua_pushinteger(L, (lua_Integer)a->index - (lua_Integer)a->first + 1);
  lua_pushcfunction(L, decode_task);
  lua_pushlightuserdata(L, a);
  lua_pushvalue(L, a->pool);
  if (lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK) lua_settop(L, top + 2);
  make_error(L, "task_text", lua_gettop(L) - top, 1);
}

/* Pushes the error of an item without bytes, and nil for its traceback. */
static void push_end(lua_State *L, struct arrival *a) {
  static const char *const names[] = {
    [MP_ITEM_LOST] = "lost", [MP_ITEM_TIMEOUT] = "late", [MP_ITEM_CANCELLED] = "cancelled",
    [MP_ITEM_MEMORY] = "too_large"};
  int top = lua_gettop(L);
  if (a->item.status == INT32_MIN) lua_pushnil(L);
  else lua_pushinteger(L, a->item.status);
  lua_pushinteger(L, a->item.pid);
  push_task_text(L, a);
  lua_pushboolean(L, ((struct pool *)lua_touserdata(L, a->pool))->executor);
  make_error(L, names[a->item.kind], 4, 1);
  lua_pushnil(L);
  lua_settop(L, top + 2);
}

/* An error that reading has raised is on top: it takes the place of what could not be read. */
static void reading_failed(lua_State *L, int status) {
  if (status == LUA_ERRMEM) lua_error(L); /* the task is still there, to be read again */
  lua_pushnil(L);
}

/* Pushes the error of an item that has no value, and its traceback. */
static void push_failure(lua_State *L, struct arrival *a) {
  if (a->item.kind != MP_ITEM_ERROR) {
    push_end(L, a);
    return;
  }
  lua_pushcfunction(L, decode_failure);
  lua_pushlightuserdata(L, &a->item.parcel);
  int status = lua_pcall(L, 1, 2, 0);
  if (status != LUA_OK) reading_failed(L, status);
}

/* Pushes the item's values; gives their number, or -1: an error and its traceback. */
static int push_values(lua_State *L, struct arrival *a) {
  int top = lua_gettop(L);
  lua_pushcfunction(L, decode_item);
  lua_pushlightuserdata(L, a);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  if (status == LUA_OK) return lua_gettop(L) - top;
  reading_failed(L, status);
  return -1;
}

/* Pushes the small value that the bytes are. */
static bool push_small(lua_State *L, const void *bytes, size_t n) {
  const unsigned char *p = (const unsigned char *)bytes;
  return mp_codec_decode_number(L, p, n) || mp_codec_decode_text(L, p, n);
}

bool mp_lua_pool_item(lua_State *L, struct arrival *a) {
  const struct mp_parcel *p = &a->item.parcel;
  if (a->item.kind == MP_ITEM_VALUE)
    return push_small(L, p->bytes, p->length) || push_values(L, a) == 1;
  push_failure(L, a);
  return false;
}

/* ---- a call ---- */

static void keep_values(lua_State *L, struct arrival *a, int n) {
  struct result *r = (struct result *)lua_touserdata(L, a->result);
  r->values = (uint32_t)n;
  if (n != 1) {
    int first = lua_gettop(L) - n + 1;
    lua_createtable(L, n, 0);
    lua_insert(L, first);
    for (int i = n; i >= 1; i--) lua_rawseti(L, first, i);
  }
  lua_setiuservalue(L, a->result, RESULT_VALUE);
}

static void call_arrived(lua_State *L, struct arrival *a) {
  const struct mp_parcel *p = &a->item.parcel;
  int n = -1;
  if (a->item.kind != MP_ITEM_VALUE)
    push_failure(L, a);
  else if (p->length > 1 && *(const unsigned char *)p->bytes == (WIRE_FIXARRAY | 1) &&
           push_small(L, (const char *)p->bytes + 1, p->length - 1))
    n = 1;
  else
    n = push_values(L, a);
  if (n >= 0) keep_values(L, a, n);
  else take_error(L, a->result, a->index);
}

/* ---- a chunk of a map ---- */

static void chunk_arrived(lua_State *L, struct mp_handle *pool, struct arrival *a) {
  struct mp_item_cursor at = {0};
  lua_getiuservalue(L, a->result, RESULT_VALUE);
  int list = lua_gettop(L);
  for (; mp_pool_item(pool, &a->task, &at, &a->item); a->index++) {
    if (mp_lua_pool_item(L, a)) lua_rawseti(L, list, (lua_Integer)a->index);
    else take_error(L, a->result, a->index);
  }
  lua_settop(L, list - 1);
}

/* ---- arrivals ---- */

/* The index of the first item of the task with that serial number; forgets it. */
static uint64_t take_place(lua_State *L, int pool, lua_Integer serial) {
  mp_lua_pool_book(L, pool, BOOK_PLACES);
  bool first = lua_rawgeti(L, -1, serial) == LUA_TNIL;
  uint64_t place = first ? 1 : (uint64_t)lua_tointeger(L, -1);
  if (!first) {
    lua_pushnil(L);
    lua_rawseti(L, -3, serial);
  }
  lua_pop(L, 2);
  return place;
}

/* Pushes the tasks in flight, and the result that the task belongs to, or nil. */
static void push_result(lua_State *L, int pool, lua_Integer serial) {
  mp_lua_pool_book(L, pool, BOOK_TASKS);
  lua_rawgeti(L, -1, serial);
}

static bool is_stream(lua_State *L, int index) {
  return *(const enum sink *)lua_touserdata(L, index) == SINK_STREAM;
}

/* One task less is in flight. */
static void task_over(lua_State *L, struct arrival *a, lua_Integer serial) {
  struct pool *p = (struct pool *)lua_touserdata(L, a->pool);
  struct result *r = (struct result *)lua_touserdata(L, a->result);
  lua_pushnil(L);
  lua_rawseti(L, a->result - 1, serial);
  p->open--;
  p->bytes -= mp_pool_parcel(p->base.handle, &a->task).length;
  if (is_stream(L, a->result)) {
    mp_lua_stream_task_over(L, a->pool, a->result, serial);
    return;
  }
  if (--r->tasks > 0) {
    if (r->watched) mp_lua_result_due(L, a->pool, a->result);
    return;
  }
  if (r->failed != 0) {
    r->state = RESULT_FAILED;
    lua_getiuservalue(L, a->result, RESULT_EXTRAS);
    lua_getfield(L, -1, "error");
    lua_setiuservalue(L, a->result, RESULT_VALUE);
    lua_pop(L, 1);
  }
  mp_lua_result_over(L, a->pool, a->result);
}

/* A task that has fewer items than it had values was cancelled before all of them ran. */
static void read_task(lua_State *L, struct mp_handle *pool, struct arrival *a) {
  struct result *r = (struct result *)lua_touserdata(L, a->result);
  uint64_t end = a->first + (r->many ? r->chunk : 1);
  struct mp_item_cursor at = {0};
  if (r->many && end > r->count + 1) end = r->count + 1;
  if (r->many) {
    chunk_arrived(L, pool, a);
  } else if (mp_pool_item(pool, &a->task, &at, &a->item)) {
    call_arrived(L, a);
    a->index++;
  }
  r->done += end - a->first;
  if (a->index >= end) return;
  a->item = (struct mp_item){.kind = MP_ITEM_CANCELLED};
  push_failure(L, a);
  take_error(L, a->result, a->index);
}

void mp_lua_pool_arrive(lua_State *L, int pool, const struct mp_pool_result *task) {
  struct mp_handle *h = ((struct pool *)lua_touserdata(L, pool))->base.handle;
  lua_Integer serial = (lua_Integer)(task->id >> 32);
  int top = lua_gettop(L);
  luaL_checkstack(L, ROOM, NULL);
  struct arrival a = {.task = *task, .pool = pool, .result = top + 2};
  push_result(L, pool, serial);
  if (!lua_isnil(L, -1)) {
    a.single = is_stream(L, a.result) || ((const struct result *)lua_touserdata(L, a.result))->many;
    a.first = a.index = a.single ? take_place(L, pool, serial) : 1;
    if (is_stream(L, a.result)) mp_lua_stream_arrive(L, h, &a);
    else read_task(L, h, &a);
    task_over(L, &a, serial);
  }
  mp_pool_forget(h, task);
  lua_settop(L, top);
}

void mp_lua_pool_drain(lua_State *L, int pool) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  struct mp_pool_result task;
  pool = lua_absindex(L, pool);
  while (p->open > 0 && mp_pool_collect(p->base.handle, MP_NOW, &task) == 0)
    mp_lua_pool_arrive(L, pool, &task);
  if (p->open == 0) (void)mp_ready(p->base.handle); /* it may have been rung for nothing */
}

/* ---- no more arrivals ---- */

/* The error and its traceback are on top: each result in flight fails with it. */
static void fail_all(lua_State *L, int pool) {
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  int top = lua_gettop(L) - 2;
  mp_lua_pool_book(L, pool, BOOK_TASKS);
  for (lua_pushnil(L); lua_next(L, top + 3); lua_settop(L, top + 4)) {
    struct result *r = (struct result *)lua_touserdata(L, -1);
    int result = lua_gettop(L);
    if (is_stream(L, result)) mp_lua_stream_fail(L, result, top + 1);
    if (is_stream(L, result) || r->state != RESULT_OPEN) continue;
    r->state = RESULT_FAILED;
    r->tasks = 0;
    lua_pushvalue(L, top + 2);
    mp_lua_result_extra(L, result, "traceback");
    lua_pushvalue(L, top + 1);
    lua_setiuservalue(L, result, RESULT_VALUE);
    mp_lua_result_over(L, pool, result);
  }
  lua_settop(L, top);
  p->open = 0;
  p->bytes = 0;
  static const enum pool_book of_tasks[] = {BOOK_TASKS, BOOK_PLACES, BOOK_RECORDS};
  for (size_t i = 0; i < MP_COUNT_OF(of_tasks); i++) {
    lua_newtable(L);
    lua_setiuservalue(L, pool, (int)of_tasks[i]);
  }
}

void mp_lua_pool_fail(lua_State *L, int pool, const char *kind, const char *text) {
  if (((struct pool *)lua_touserdata(L, pool))->open == 0) return;
  pool = lua_absindex(L, pool);
  lua_pushstring(L,
                 ((struct pool *)lua_touserdata(L, pool))->executor ? "BrokenProcessPool" : kind);
  lua_pushstring(L, text);
  make_error(L, "ended", 2, 1);
  lua_pushnil(L);
  fail_all(L, pool);
}

bool mp_lua_pool_initializer_error(lua_State *L, const struct pool *p) {
  struct mp_parcel error;
  if (!mp_pool_initializer_error(p->base.handle, &error)) return false;
  lua_pushcfunction(L, decode_failure);
  lua_pushlightuserdata(L, &error);
  int status = lua_pcall(L, 1, 2, 0);
  if (status != LUA_OK) reading_failed(L, status);
  lua_pushboolean(L, p->executor);
  make_error(L, "initializer_failed", 3, 2);
  return true;
}

const char *mp_lua_pool_why_broken(lua_State *L, const struct pool *p) {
  int error = mp_pool_refused(p->base.handle);
  if (error == 0) return lua_pushliteral(L, "the pool is broken: its supervisor has died");
  return lua_pushfstring(L, "the pool is broken: no worker can be started: %s", mp_strerror(error));
}

/* No worker can be started, or the supervisor is gone. */
void mp_lua_pool_broke(lua_State *L, int pool) {
  const struct pool *p = (const struct pool *)lua_touserdata(L, pool);
  if (mp_lua_pool_initializer_error(L, p)) {
    fail_all(L, pool);
    return;
  }
  mp_lua_pool_fail(L, pool, "WorkerLostError", mp_lua_pool_why_broken(L, p));
  lua_pop(L, 1);
}
