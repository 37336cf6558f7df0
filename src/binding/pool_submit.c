/*
** Submitting: functions and arguments become tasks.
**
** A task's bytes are what the codec makes of the arguments, or of a slice of a map's list, and a
** trailer that names the function by its number. The AsyncResult is made before the task is
** submitted, so that nothing can fail between the two.
*/
#include <string.h>

#include "../codec/scalar.h"
#include "pool.h"

#define IN_FLIGHT ((uint64_t)32 << 20) /* bytes of tasks */
#define FEW 6 /* arguments that may go the short way */
#define ARGS_MOST 990000 /* Lua's stack has room for them; as in lua/multiprocessing/call.lua */

static const struct mp_lua_option call_options[] = {
  {"func", MP_LUA_FUNCTION},     {"args", MP_LUA_TABLE},
  {"kwds", MP_LUA_TABLE},        {"callback", MP_LUA_FUNCTION},
  {"error_callback", MP_LUA_FUNCTION}, {"timeout", MP_LUA_SECONDS},
  {"retries", MP_LUA_INTEGER},   {NULL, MP_LUA_ANY}};
enum {
  ARG_POOL = 1,
  ARG_FUNCTION,
  ARG_ARGS,
  ARG_KWDS,
  ARG_CALLBACK,
  ARG_ERROR_CALLBACK,
  ARG_TIMEOUT,
  ARG_RETRIES
};

static bool is_option_table(lua_State *L, int index) {
  if (!lua_istable(L, index)) return false;
  lua_pushliteral(L, "func");
  bool is = lua_rawget(L, index) != LUA_TNIL;
  lua_pop(L, 1);
  return is;
}

void mp_lua_pool_callable(lua_State *L, int index) {
  if (!mp_lua_is_callable(L, index))
    mp_lua_raise(L, "TypeError", "func must be a function, got %s", mp_lua_show(L, index));
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* A callable table in the first place is a function, not a table of options: it steps aside. */
static void spread_options(lua_State *L) {
  if (!lua_istable(L, ARG_FUNCTION) || is_option_table(L, ARG_FUNCTION)) {
    mp_lua_options(L, ARG_FUNCTION, call_options);
    return;
  }
  mp_lua_pool_callable(L, ARG_FUNCTION);
  lua_pushvalue(L, ARG_FUNCTION);
  lua_insert(L, 1);
  lua_pushcfunction(L, nothing);
  lua_replace(L, ARG_FUNCTION + 1);
  mp_lua_options(L, ARG_FUNCTION + 1, call_options);
  lua_pushvalue(L, 1);
  lua_replace(L, ARG_FUNCTION + 1);
  lua_remove(L, 1);
}

static void check_retries(lua_State *L, int index, struct mp_task_options *o) {
  lua_Integer n = luaL_optinteger(L, index, 0);
  if (n < 0)
    mp_lua_raise(L, "ValueError", "retries must not be negative, got %I", (LUAI_UACINT)n);
  o->retries = n > INT32_MAX ? INT32_MAX : (uint32_t)n;
}

static void check_limit(lua_State *L, int index, struct mp_task_options *o) {
  lua_Number seconds = luaL_optnumber(L, index, 0);
  if (lua_isnoneornil(L, index)) return;
  if (!(seconds > 0)) mp_lua_raise(L, "ValueError", "timeout must be positive, got %f", seconds);
  o->timeout = seconds < 9e9 ? (int64_t)(seconds * 1e9) : INT64_MAX / 2;
  if (o->timeout == 0) o->timeout = 1;
}

void mp_lua_pool_limits(lua_State *L, int index, struct mp_task_options *o) {
  check_limit(L, index, o);
  check_retries(L, index + 1, o);
}

static const struct mp_lua_condition closed[] = {{MP_CLOSED, "ValueError", "Pool not running"},
                                                 {0, NULL, NULL}};

static void submitted(lua_State *L, const struct pool *p, int r) {
  if (mp_likely(r == 0)) return;
  if (r == MP_CLOSED && mp_pool_state(p->base.handle) == MP_POOL_BROKEN) {
    if (mp_lua_pool_initializer_error(L, p)) {
      lua_pop(L, 1);
      lua_error(L);
    }
    (void)mp_lua_pool_why_broken(L, p);
    mp_lua_raise_text(L, p->executor ? "BrokenProcessPool" : "WorkerLostError");
  }
  mp_lua_result_as(L, r, "a task", closed);
}

void mp_lua_pool_submit(lua_State *L, struct pool *p, struct mp_lua_parcel *task,
                        const struct mp_task_options *o, uint64_t *id) {
  int r = mp_pool_submit(p->base.handle, &task->parcel, o, id);
  if (r == 0) p->bytes += task->parcel.length + task->parcel.tail_length;
  mp_lua_encode_done(task);
  submitted(L, p, r);
}

/* How many values the table at `index` has: its n, if that is an integer, else its length. */
static lua_Integer arguments_count(lua_State *L, int index) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, index);
  lua_pushliteral(L, "n");
  if (lua_rawget(L, index) != LUA_TNIL && lua_isinteger(L, -1)) n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* The arguments, from the table at ARG_ARGS and the names in ARG_KWDS, on top of the stack. */
static int push_arguments(lua_State *L) {
  if (!lua_isnil(L, ARG_KWDS)) {
    mp_lua_require(L, "multiprocessing.call");
    lua_getfield(L, -1, "arguments");
    lua_pushvalue(L, ARG_FUNCTION);
    lua_pushvalue(L, ARG_ARGS);
    lua_pushvalue(L, ARG_KWDS);
    lua_call(L, 3, 1);
    lua_replace(L, ARG_ARGS);
    lua_pop(L, 1);
  }
  if (lua_isnil(L, ARG_ARGS)) return 0;
  lua_Integer n = arguments_count(L, ARG_ARGS);
  if (n < 0 || n > ARGS_MOST)
    mp_lua_raise(L, "ValueError", "args.n must be from 0 to %d, got %I", ARGS_MOST, (LUAI_UACINT)n);
  if (!lua_checkstack(L, (int)n + LUA_MINSTACK))
    mp_lua_raise(L, "ValueError", "args has too many values: %I", (LUAI_UACINT)n);
  for (lua_Integer i = 1; i <= n; i++) lua_rawgeti(L, ARG_ARGS, i);
  return (int)n;
}

/* callback and error_callback stand at `callback` and the next index. `progress`: what is told of
** each arrival, or 0. */
static void keep_callbacks(lua_State *L, int result, int callback, int progress) {
  struct result *r = (struct result *)lua_touserdata(L, result);
  r->called = !lua_isnil(L, callback) || !lua_isnil(L, callback + 1);
  r->watched = progress != 0 && !lua_isnil(L, progress);
  if (!r->called && !r->watched) return;
  mp_lua_pool_listen(L, ARG_POOL);
  lua_createtable(L, 0, 3);
  if (r->watched) {
    lua_pushvalue(L, progress);
    lua_setfield(L, -2, "progress");
  }
  lua_pushvalue(L, callback);
  lua_setfield(L, -2, "callback");
  lua_pushvalue(L, callback + 1);
  lua_setfield(L, -2, "error_callback");
  lua_setiuservalue(L, result, RESULT_EXTRAS);
}

void mp_lua_pool_running(lua_State *L, const struct pool *p) {
  enum mp_pool_state state = mp_pool_state(p->base.handle);
  if (state != MP_POOL_CLOSED && state != MP_POOL_TERMINATED) return;
  if (p->executor) mp_lua_raise(L, "ProcessError", "cannot schedule new futures after shutdown");
  mp_lua_raise(L, "ValueError", "Pool not running");
}

/* Small values need no encoder: writes what it would have written, and the trailer. 0: they are
** not. */
static size_t encode_small(lua_State *L, int n, const struct task_trailer *trailer,
                           unsigned char *to) {
  size_t size = 1;
  if (n > FEW) return 0;
  to[0] = (unsigned char)(WIRE_FIXARRAY | n);
  for (int i = lua_gettop(L) - n + 1; n > 0; i++, n--) {
    size_t more = mp_codec_encode_scalar(L, i, to + size);
    if (more == 0) return 0;
    size += more;
  }
  memcpy(to + size, trailer, sizeof *trailer);
  return size + sizeof *trailer;
}

static void submit_large(lua_State *L, int n, const struct task_trailer *trailer,
                         const struct mp_task_options *o, uint64_t *id) {
  struct pool *p = (struct pool *)lua_touserdata(L, ARG_POOL);
  struct mp_codec_request what = {lua_gettop(L) - n + 1, n, MP_CODEC_FULL | MP_CODEC_VALUES,
                                  "args"};
  struct mp_lua_parcel task;
  mp_lua_pool_book(L, ARG_POOL, BOOK_PRESENT);
  mp_lua_encode_carry(L, &what, lua_gettop(L), &task);
  task.parcel.tail = trailer;
  task.parcel.tail_length = sizeof *trailer;
  mp_lua_pool_submit(L, p, &task, o, id);
}

/* Submits a call with the n values on top as its arguments; the result is at `result`. */
static void submit_call(lua_State *L, int result, int n, const struct task_trailer *trailer,
                        const struct mp_task_options *o) {
  struct pool *p = (struct pool *)lua_touserdata(L, ARG_POOL);
  unsigned char bytes[1 + FEW * MP_CODEC_SCALAR_MAX + sizeof *trailer];
  struct mp_parcel small = {.bytes = bytes, .length = encode_small(L, n, trailer, bytes)};
  uint64_t id;
  if (small.length == 0) {
    submit_large(L, n, trailer, o, &id);
  } else {
    submitted(L, p, mp_pool_submit(p->base.handle, &small, o, &id));
    p->bytes += small.length;
  }
  lua_settop(L, result);
  mp_lua_result_expect(L, ARG_POOL, result, id, 1);
}

/* apply_async(func [, args [, kwds [, callback [, error_callback]]]]) or {func =, ...} */
static int pool_apply_async(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, ARG_POOL);
  struct mp_task_options o = {.count = 1};
  spread_options(L);
  mp_lua_pool_callable(L, ARG_FUNCTION);
  mp_lua_pool_limits(L, ARG_TIMEOUT, &o);
  mp_lua_pool_running(L, p);
  struct task_trailer trailer = {mp_lua_pool_function(L, ARG_POOL, ARG_FUNCTION), FORM_CALL};
  (void)mp_lua_result_new(L, ARG_POOL, false);
  int result = lua_gettop(L);
  keep_callbacks(L, result, ARG_CALLBACK, 0);
  submit_call(L, result, push_arguments(L), &trailer, &o);
  return 1;
}

/* pool_submit(pool, func, ...): a Future. */
static int pool_submit(lua_State *L) {
  static const struct mp_task_options o = {.count = 1};
  struct pool *p = mp_lua_pool_check(L, ARG_POOL);
  if (lua_gettop(L) < ARG_FUNCTION) lua_settop(L, ARG_FUNCTION);
  int n = lua_gettop(L) - ARG_FUNCTION;
  mp_lua_pool_callable(L, ARG_FUNCTION);
  mp_lua_pool_running(L, p);
  struct task_trailer trailer = {mp_lua_pool_function(L, ARG_POOL, ARG_FUNCTION), FORM_CALL};
  (void)mp_lua_result_new(L, ARG_POOL, true);
  int result = lua_gettop(L);
  luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
  for (int i = 1; i <= n; i++) lua_pushvalue(L, ARG_FUNCTION + i);
  submit_call(L, result, n, &trailer, &o);
  return 1;
}

/* ---- maps ---- */

enum {
  MAP_POOL = 1,
  MAP_FUNCTION,
  MAP_LIST,
  MAP_COUNT,
  MAP_CHUNK,
  MAP_FORM,
  MAP_CALLBACK,
  MAP_ERROR_CALLBACK,
  MAP_TIMEOUT,
  MAP_RETRIES,
  MAP_PROGRESS,
  MAP_WAITS,
  MAP_PRESENT,
  MAP_RESULT
};

static void submit_chunk(lua_State *L, struct pool *p, lua_Integer from,
                         const struct mp_task_options *o, struct task_trailer *trailer) {
  struct mp_codec_request what = {MAP_LIST, 1, MP_CODEC_FULL, "iterable"};
  lua_Integer range[2] = {from, from + o->count - 1};
  struct mp_lua_parcel task;
  uint64_t id;
  mp_lua_encode_slice(L, &what, range, MAP_PRESENT, &task);
  task.parcel.tail = trailer;
  task.parcel.tail_length = sizeof *trailer;
  mp_lua_pool_submit(L, p, &task, o, &id);
  lua_settop(L, MAP_RESULT);
  mp_lua_result_expect(L, MAP_POOL, MAP_RESULT, id, from);
  lua_getiuservalue(L, MAP_RESULT, RESULT_TASKS);
  lua_pushinteger(L, (lua_Integer)id);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

lua_Integer mp_lua_pool_chunk(lua_State *L, const struct pool *p, int index, lua_Integer count) {
  lua_Integer chunk = luaL_optinteger(L, index, 0), most = (lua_Integer)1 << 24;
  if (!lua_isnil(L, index) && chunk < 1)
    mp_lua_raise(L, "ValueError", "chunksize must be at least 1, got %I", (LUAI_UACINT)chunk);
  if (chunk == 0) chunk = (count + p->workers * 4 - 1) / (p->workers * 4); /* Python's rule */
  if (chunk > most) chunk = most;
  return chunk < 1 ? 1 : chunk;
}

/* A map whose result is waited for anyhow does not fill the memory with what no worker can take
** yet. Called in a frame with the same values at the same places, and the function's number on
** top. */
static int map_submit(lua_State *L) {
  struct pool *p = (struct pool *)lua_touserdata(L, MAP_POOL);
  struct result *r = (struct result *)lua_touserdata(L, MAP_RESULT);
  lua_Integer count = (lua_Integer)r->count;
  bool waits = lua_toboolean(L, MAP_WAITS);
  struct mp_task_options o = {.count = r->chunk};
  struct task_trailer trailer = {(uint32_t)lua_tointeger(L, -1),
                                 (uint32_t)luaL_checkinteger(L, MAP_FORM)};
  mp_lua_pool_limits(L, MAP_TIMEOUT, &o);
  for (lua_Integer from = 1; from <= count; from += r->chunk) {
    if (count - from + 1 < (lua_Integer)o.count) o.count = (uint32_t)(count - from + 1);
    submit_chunk(L, p, from, &o, &trailer);
    while (waits && p->bytes > IN_FLIGHT && p->open > 0) {
      (void)mp_lua_pool_step(L, MAP_POOL, MP_FOREVER);
      mp_lua_pool_call_back(L, MAP_POOL);
    }
  }
  return 0;
}

/* All chunks, or none: if one can't be sent, those before it are taken back. */
static void map_submit_all(lua_State *L, uint32_t function) {
  lua_pushcfunction(L, map_submit);
  for (int i = 1; i <= MAP_RESULT; i++) lua_pushvalue(L, i);
  lua_pushinteger(L, function);
  if (lua_pcall(L, MAP_RESULT + 1, 0, 0) == LUA_OK) return;
  (void)mp_lua_result_cancel(L, MAP_POOL, MAP_RESULT);
  lua_error(L);
}

static struct result *map_result(lua_State *L, lua_Integer count, lua_Integer chunk) {
  struct result *r = mp_lua_result_new(L, MAP_POOL, false);
  r->many = true;
  r->count = (uint64_t)count;
  r->chunk = (uint32_t)chunk;
  lua_createtable(L, count < INT32_MAX ? (int)count : 0, 1);
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");
  lua_setiuservalue(L, MAP_RESULT, RESULT_VALUE);
  lua_newtable(L);
  lua_setiuservalue(L, MAP_RESULT, RESULT_TASKS);
  return r;
}

/* A worker would say it too, but of no line of the program. A userdata may arrive as a table. */
static void lists_check(lua_State *L, lua_Integer count) {
  for (lua_Integer i = 1; i <= count; i++) {
    int type = lua_geti(L, MAP_LIST, i);
    if (type != LUA_TTABLE && type != LUA_TUSERDATA)
      mp_lua_raise(L, "TypeError", "starmap needs lists of arguments, got %s as item %I",
                   mp_lua_show(L, lua_gettop(L)), (LUAI_UACINT)i);
    lua_Integer n = type == LUA_TTABLE ? arguments_count(L, lua_gettop(L)) : 0;
    if (n < 0 || n > ARGS_MOST)
      mp_lua_raise(L, "ValueError", "the field n of iterable[%I] must be from 0 to %d, got %I",
                   (LUAI_UACINT)i, ARGS_MOST, (LUAI_UACINT)n);
    lua_pop(L, 1);
  }
}

/* pool_map(pool, func, list, count, chunk, form, callback, error_callback, timeout, retries,
** progress, waits) */
static int pool_map(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, MAP_POOL);
  lua_settop(L, MAP_WAITS);
  mp_lua_pool_callable(L, MAP_FUNCTION);
  mp_lua_pool_running(L, p);
  lua_Integer count = luaL_checkinteger(L, MAP_COUNT),
              chunk = mp_lua_pool_chunk(L, p, MAP_CHUNK, count);
  if (lua_tointeger(L, MAP_FORM) == FORM_LISTS) lists_check(L, count);
  mp_lua_pool_book(L, MAP_POOL, BOOK_PRESENT);
  uint32_t function = mp_lua_pool_function(L, MAP_POOL, MAP_FUNCTION);
  struct result *r = map_result(L, count, chunk);
  if (count == 0) {
    r->state = RESULT_DONE;
    return 1;
  }
  keep_callbacks(L, MAP_RESULT, MAP_CALLBACK, MAP_PROGRESS);
  map_submit_all(L, function);
  return 1;
}

static const luaL_Reg submit_methods[] = {{"apply_async", pool_apply_async}, {NULL, NULL}};
static const luaL_Reg submit_functions[] = {
    {"pool_map", pool_map}, {"pool_submit", pool_submit}, {NULL, NULL}};

void mp_lua_pool_open_submit(lua_State *L) {
  mp_lua_functions(L, submit_functions);
  mp_lua_types(L);
  lua_getfield(L, -1, mp_lua_pool_type.name);
  mp_lua_functions(L, submit_methods);
  lua_pop(L, 2);
}
