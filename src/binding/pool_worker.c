/*
** A pool's worker: a fork of its creator that takes tasks, and never returns to the program.
**
** Tasks run on a thread of their own, whose stack has nothing of the program on it, so that a
** traceback tells the task's story only. The functions called from here are the same two for all
** tasks: `work`, which runs a task's items from the one at hand on, and `trace`, its message
** handler. An error ends `work`; the item is settled with it and `work` is called again for the
** next one. Functions are kept by their numbers, with the upvalues that calls leave in them.
**
** Whatever cannot be told to the creator (no memory is left even for the error) ends the process:
** then the core says that the task was lost.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../codec/scalar.h"
#include "../core/os.h"
#include "../core/process.h"
#include "pool.h"

/* What `work` and `trace` keep, their first upvalue: functions by number, and these two. */
#define KEPT_ITEMS 0       /* the list at hand */
#define KEPT_TRACEBACK (-1) /* of the last error */
#define KEPT lua_upvalueindex(1)
#define KEPT_LEAST 64u /* functions that are kept unlooked at */

struct worker {
  lua_State *L;          /* the tasks' thread: `trace` and `work` stand at its bottom */
  const struct pool *pool;
  struct mp_context *context;
  struct mp_work work;
  struct task_trailer trailer;
  uint32_t item;         /* at hand, from 0 on */
  uint32_t kept, most;   /* functions kept; how many more are looked through */
  bool reading;          /* the function and the values are not there yet */
};
enum { STACK_TRACE = 1, STACK_WORK };

static struct worker *worker_of(lua_State *L) {
  return (struct worker *)lua_touserdata(L, lua_upvalueindex(2));
}

static void worker_exit(struct worker *w, int status) __attribute__((noreturn));
static void worker_exit(struct worker *w, int status) {
  mp_process_exit(w->context, status);
}

/* ---- settling ---- */

/* What the item has printed is out before its result is. */
static int settle(struct worker *w, enum mp_item_kind kind, const struct mp_parcel *value) {
  if (mp_os_output_pending()) fflush(NULL);
  int r = mp_work_settle(&w->work, kind, value);
  if (r == 0) w->item++;
  return r;
}

static void settle_bytes(lua_State *L, struct worker *w, const void *bytes, size_t n) {
  struct mp_parcel p = {.bytes = bytes, .length = n};
  mp_lua_result(L, settle(w, MP_ITEM_VALUE, &p), "a result");
}

static void settle_values(lua_State *L, struct worker *w, const struct mp_codec_request *what) {
  struct mp_lua_parcel p;
  mp_lua_encode(L, what, &p);
  int r = settle(w, MP_ITEM_VALUE, &p.parcel);
  mp_lua_encode_done(&p);
  mp_lua_result(L, r, "a result");
}

/* The call's results, all of the stack: a list of values. */
static void settle_call(lua_State *L, struct worker *w) {
  unsigned char bytes[MP_CODEC_SCALAR_MAX + 1] = {WIRE_FIXARRAY | 1}; /* a list of one */
  int n = lua_gettop(L);
  size_t size = n == 1 ? mp_codec_encode_scalar(L, 1, bytes + 1) : 0;
  struct mp_codec_request what = {1, n, MP_CODEC_FULL | MP_CODEC_VALUES, "result"};
  if (size != 0) settle_bytes(L, w, bytes, size + 1);
  else settle_values(L, w, &what);
}

/* The value on top. */
static void settle_item(lua_State *L, struct worker *w) {
  unsigned char bytes[MP_CODEC_SCALAR_MAX];
  size_t size = mp_codec_encode_scalar(L, -1, bytes);
  struct mp_codec_request what = {lua_gettop(L), 1, MP_CODEC_FULL, "result"};
  if (size != 0) settle_bytes(L, w, bytes, size);
  else settle_values(L, w, &what);
}

/* ---- running ---- */

/* Functions that the creator has dropped need not be kept. */
static void look_through(lua_State *L, struct worker *w) {
  struct mp_parcel code;
  w->kept = 0;
  for (lua_pushnil(L); lua_next(L, KEPT); lua_pop(L, 1)) {
    lua_Integer number = lua_tointeger(L, -2);
    if (number < 1) continue;
    if (mp_pool_function(w->work.pool, (uint32_t)number, &code) == 0) {
      w->kept++;
      continue;
    }
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, KEPT);
  }
  w->most = 2 * w->kept + KEPT_LEAST;
}

static void push_function(lua_State *L, struct worker *w) {
  struct mp_parcel code;
  uint32_t number = w->trailer.function;
  if (lua_rawgeti(L, KEPT, (lua_Integer)number) != LUA_TNIL) return;
  lua_pop(L, 1);
  mp_lua_result(L, mp_pool_function(w->work.pool, number, &code), "a pool's function");
  mp_lua_decode(L, code.bytes, code.length, MP_CODEC_FULL);
  lua_pushvalue(L, -1);
  lua_rawseti(L, KEPT, (lua_Integer)number);
  if (++w->kept > w->most) look_through(L, w);
}

/* Pushes the task's values: the arguments, or the list of items. */
static int push_values(lua_State *L, struct worker *w, unsigned mode) {
  size_t length = w->work.parcel.length - sizeof w->trailer;
  int n = mp_lua_decode(L, w->work.parcel.bytes, length, MP_CODEC_FULL | mode);
  w->reading = false;
  return n;
}

/* No argument, or one number. */
static bool push_small(lua_State *L, struct worker *w, int *n) {
  const unsigned char *p = (const unsigned char *)w->work.parcel.bytes;
  size_t length = w->work.parcel.length - sizeof w->trailer;
  *n = p[0] == WIRE_FIXARRAY ? 0 : 1;
  if (*n == 1 &&
      (p[0] != (WIRE_FIXARRAY | 1) || !mp_codec_decode_number(L, p + 1, length - 1)))
    return false;
  w->reading = false;
  return true;
}

static void run_call(lua_State *L, struct worker *w) {
  int n;
  if (!push_small(L, w, &n)) n = push_values(L, w, MP_CODEC_VALUES);
  lua_call(L, n, LUA_MULTRET);
  settle_call(L, w);
}

/* Replaces the list of arguments on top by them; gives their number. */
static int spread(lua_State *L) {
  int list = lua_gettop(L);
  if (!lua_istable(L, list))
    mp_lua_raise(L, "TypeError", "starmap needs lists of arguments, got %s", mp_lua_show(L, list));
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  lua_pushliteral(L, "n");
  if (lua_rawget(L, list) == LUA_TNUMBER && lua_isinteger(L, -1)) n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n > 0 && n < INT32_MAX / 2 ? (int)n + 1 : 1, "too many arguments");
  for (lua_Integer i = 1; i <= n; i++) lua_rawgeti(L, list, i);
  lua_remove(L, list);
  return n > 0 ? (int)n : 0;
}

static void run_items(lua_State *L, struct worker *w) {
  if (lua_rawgeti(L, KEPT, KEPT_ITEMS) != LUA_TTABLE) {
    lua_pop(L, 1);
    push_values(L, w, 0);
    lua_pushvalue(L, -1);
    lua_rawseti(L, KEPT, KEPT_ITEMS);
  }
  w->reading = false;
  bool lists = w->trailer.form == FORM_LISTS;
  while (w->item < w->work.count) {
    lua_pushvalue(L, 1);
    lua_rawgeti(L, 2, (lua_Integer)w->item + 1);
    lua_call(L, lists ? spread(L) : 1, 1);
    settle_item(L, w);
    lua_settop(L, 2);
  }
}

static int work(lua_State *L) {
  struct worker *w = worker_of(L);
  push_function(L, w);
  if (w->trailer.form == FORM_CALL) run_call(L, w);
  else run_items(L, w);
  return 0;
}

/* ---- failures ---- */

/* The last line of a traceback is that of `work`. If there is no other, there is none. */
static int trace(lua_State *L) {
  lua_settop(L, 1);
  luaL_traceback(L, L, NULL, 1);
  size_t n;
  const char *text = lua_tolstring(L, 2, &n);
  while (n > 0 && text[n - 1] != '\n') n--;
  if (n > 0 && memchr(text, '\n', n - 1) != NULL) lua_pushlstring(L, text, n - 1);
  else lua_pushnil(L);
  lua_rawseti(L, KEPT, KEPT_TRACEBACK);
  lua_settop(L, 1);
  return 1;
}

/* Settles the item, or all that is left if nothing could be read, with {how, value, traceback}. */
static int settle_failure(lua_State *L) {
  struct worker *w = worker_of(L);
  struct mp_codec_request what = {1, 3, MP_CODEC_FULL | MP_CODEC_VALUES, "error"};
  struct mp_lua_parcel p;
  bool all = w->reading;
  mp_lua_encode(L, &what, &p);
  do {
    if (settle(w, MP_ITEM_ERROR, &p.parcel) != 0) worker_exit(w, 1);
  } while (all && w->item < w->work.count);
  mp_lua_encode_done(&p);
  return 0;
}

static int show(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* Replaces the value on top by its text, whatever its __tostring does. */
static void take_text(lua_State *L) {
  int type = lua_type(L, -1);
  lua_pushcfunction(L, show);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
  lua_pop(L, 1);
  lua_pushfstring(L, "(error object is a %s value)", lua_typename(L, type));
}

/* Pushes the traceback of the last error. */
static void push_traceback(lua_State *L) {
  lua_getupvalue(L, STACK_WORK, 1);
  lua_rawgeti(L, -1, KEPT_TRACEBACK);
  lua_remove(L, -2);
}

/* Calls settle_failure with the form, the error and the traceback, which are on top; false: the
** error cannot be sent (and is left on top of what it was). */
static bool failure_try(lua_State *L, struct worker *w, enum failure_form how, int error) {
  lua_getupvalue(L, STACK_WORK, 1);
  lua_pushlightuserdata(L, w);
  lua_pushcclosure(L, settle_failure, 2);
  lua_pushinteger(L, how);
  lua_pushvalue(L, error);
  push_traceback(L);
  bool good = lua_pcall(L, 3, 0, 0) == LUA_OK;
  if (!good) lua_pop(L, 1);
  return good;
}

/* The error is on top. */
static void fail(lua_State *L, struct worker *w) {
  int error = lua_gettop(L);
  bool text = lua_type(L, error) == LUA_TSTRING;
  if (failure_try(L, w, text ? FAILED_TEXT : FAILED_OBJECT, error)) return;
  take_text(L);
  if (!failure_try(L, w, FAILED_UNSENT, error)) worker_exit(w, 1);
}

static void drop_kept(lua_State *L, lua_Integer key) {
  lua_getupvalue(L, STACK_WORK, 1);
  lua_pushnil(L);
  lua_rawseti(L, -2, key);
  lua_pop(L, 1);
}

/* ---- the loop ---- */

static void run_task(struct worker *w) {
  lua_State *L = w->L;
  const struct mp_parcel *p = &w->work.parcel;
  memcpy(&w->trailer, (const char *)p->bytes + p->length - sizeof w->trailer, sizeof w->trailer);
  w->item = w->work.first;
  w->reading = true;
  if (w->work.notifies) mp_supervisor_notify(&w->pool->supervisor);
  while (w->item < w->work.count) {
    lua_pushvalue(L, STACK_WORK);
    if (lua_pcall(L, 0, 0, STACK_TRACE) == LUA_OK) continue;
    fail(L, w);
    lua_settop(L, STACK_WORK);
    drop_kept(L, KEPT_TRACEBACK);
  }
  if (w->trailer.form != FORM_CALL) drop_kept(L, KEPT_ITEMS);
  mp_os_flush();
}

static int interrupted(lua_State *L) {
  (void)mp_lua_interrupt(L);
  return 0;
}

/* Waits for a task. A hook that raises (of a debugger, say) is no reason to end. */
static bool take(struct worker *w) {
  int r;
  while ((r = mp_work_take(w->work.pool, MP_FOREVER, &w->work)) == MP_INTERRUPTED) {
    lua_pushcfunction(w->L, interrupted);
    (void)lua_pcall(w->L, 0, 0, 0);
    lua_settop(w->L, STACK_WORK);
  }
  return r == 0;
}

static bool is_too_large(const struct worker *w) {
  uint64_t used;
  return w->pool->memory_per_worker != 0 && mp_os_memory_used(0, &used) == 0 &&
         used > w->pool->memory_per_worker;
}

static void loop(struct worker *w) {
  uint32_t left = w->pool->tasks_per_worker;
  mp_work_ready(w->work.pool);
  while (take(w)) {
    run_task(w);
    if (mp_work_done(&w->work) != 0) return;
    if ((left != 0 && --left == 0) || is_too_large(w)) return;
  }
}

/* ---- the beginning ---- */

static void push_closure(struct worker *w, lua_CFunction f, int kept) {
  lua_pushvalue(w->L, kept);
  lua_pushlightuserdata(w->L, w);
  lua_pushcclosure(w->L, f, 2);
}

static void thread_make(lua_State *L, struct worker *w) {
  w->L = lua_newthread(L);
  lua_newtable(w->L);
  push_closure(w, trace, 1);
  push_closure(w, work, 1);
  lua_remove(w->L, 1);
}

/* initializer(table.unpack(initargs)), both on the stack of L, on the tasks' thread. */
static bool initialize(lua_State *L, struct worker *w, int initializer) {
  int n = 0;
  if (lua_isnil(L, initializer)) return true;
  lua_pushvalue(L, initializer);
  lua_pushvalue(L, initializer + 1);
  lua_xmove(L, w->L, 2);
  if (lua_isnil(w->L, -1)) lua_pop(w->L, 1);
  else n = spread(w->L);
  return lua_pcall(w->L, n, 0, STACK_TRACE) == LUA_OK;
}

/* initializer_failed(how, error, traceback) */
static int initializer_failed(lua_State *L) {
  struct worker *w = (struct worker *)lua_touserdata(L, 4);
  struct mp_codec_request what = {1, 3, MP_CODEC_FULL | MP_CODEC_VALUES, "error"};
  struct mp_lua_parcel p;
  mp_lua_encode(L, &what, &p);
  if (mp_work_initializer_failed(w->work.pool, &p.parcel) != 0) worker_exit(w, 1);
  return 0;
}

static void report_initializer(struct worker *w) {
  lua_State *L = w->L;
  bool text = lua_type(L, -1) == LUA_TSTRING;
  int error = lua_gettop(L);
  for (int how = text ? FAILED_TEXT : FAILED_OBJECT;; how = FAILED_UNSENT) {
    lua_pushcfunction(L, initializer_failed);
    lua_pushinteger(L, how);
    lua_pushvalue(L, error);
    push_traceback(L);
    lua_pushlightuserdata(L, w);
    if (lua_pcall(L, 4, 0, 0) == LUA_OK || how == FAILED_UNSENT) worker_exit(w, 1);
    lua_settop(L, error);
    take_text(L);
  }
}

/* What Lua has to do at the end of this process (ending.lua), if it has. */
static void end_of_lua(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "multiprocessing.ending") != LUA_TTABLE) return;
  lua_getfield(L, -1, "run");
  (void)lua_pcall(L, 0, 0, 0);
}

/* Everything in a frame of its own, called in protected mode: begin(pool, enter, initializer,
** initargs, number). */
static int begin(lua_State *L) {
  struct worker w = {.most = KEPT_LEAST, .pool = (const struct pool *)lua_touserdata(L, 1)};
  w.work.pool = w.pool->base.handle;
  w.context = w.pool->base.state->context;
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 5);
  lua_call(L, 1, 0);
  thread_make(L, &w);
  if (!initialize(L, &w, 3)) report_initializer(&w);
  lua_settop(w.L, STACK_WORK);
  loop(&w);
  end_of_lua(L);
  worker_exit(&w, 0);
}

void mp_lua_pool_work(lua_State *L, uint32_t number) {
  struct mp_context *c = mp_lua_state_of(L)->context;
  lua_pushcfunction(L, begin);
  lua_insert(L, 1);
  lua_pushinteger(L, number);
  (void)lua_pcall(L, 5, 0, 0);
  mp_process_exit(c, 1);
}
