/*
** Queue, JoinableQueue and SimpleQueue: values that go from process to process.
**
** A value is encoded before the core is entered and decoded after the message has become ours, so
** nothing shared is held while Lua runs. Whatever can fail in decoding is done under lua_pcall:
** for want of memory the message is kept in the userdata, and the next get delivers it; any other
** failure ends it, with the bytes in the error. Numbers, booleans and nil cannot fail and take the
** short way; a short string can fail only for want of memory, and is kept before it is tried.
*/
#include <string.h>

#include "binding.h"
#include "nouns.h"
#include "queue.h"

/* ---- types ---- */

static bool flavour_is(const struct mp_handle *h, unsigned flavour) {
  mp_queue_state s;
  mp_queue_look(h, &s);
  return s.flavour == flavour;
}
static bool owns_plain(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return flavour_is(h, MP_QUEUE_PLAIN);
}
static bool owns_joinable(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return flavour_is(h, MP_QUEUE_JOINABLE);
}
static bool owns_simple(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return flavour_is(h, MP_QUEUE_SIMPLE);
}

static void queue_end(struct mp_lua_handle *u) {
  mp_lua_letters_drop(((struct mp_lua_queue *)u));
}

static void queue_show(lua_State *L, struct mp_lua_handle *u) {
  mp_queue_state s;
  mp_queue_look(u->handle, &s);
  const char *closed = s.closed ? ", shut down" : "";
  LUAI_UACINT size = (LUAI_UACINT)s.size;
  if (s.max_items != 0)
    lua_pushfstring(L, "%I of %I%s", size, (LUAI_UACINT)s.max_items, closed);
  else
    lua_pushfstring(L, "%I%s", size, closed);
}

#define TYPE(id, type_name, owner)                                                      \
  const struct mp_lua_type id = {                                                       \
      .name = (type_name), .noun = "queue", .kind = MP_KIND_QUEUE, .owns = (owner),        \
      .size = sizeof(struct mp_lua_queue), .end = queue_end, .show = queue_show}
TYPE(mp_lua_queue_type, "Queue", owns_plain);
TYPE(mp_lua_joinable_queue_type, "JoinableQueue", owns_joinable);
TYPE(mp_lua_simple_queue_type, "SimpleQueue", owns_simple);

/* Its own type if that is one of queues. */
static const struct mp_lua_type *type_wanted(const struct mp_lua_handle *u) {
  const struct mp_lua_type *type = u != NULL ? mp_lua_handle_type(u) : NULL;
  bool other = type == &mp_lua_joinable_queue_type || type == &mp_lua_simple_queue_type;
  return other ? type : &mp_lua_queue_type;
}

struct mp_lua_queue *mp_lua_queue_check_slow(lua_State *L) {
  const struct mp_lua_type *type = type_wanted(mp_lua_handle_test(L, 1));
  return (struct mp_lua_queue *)mp_lua_handle_check_slow(L, 1, type, false);
}

mp_deadline mp_lua_queue_try_timeout(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? MP_NOW : mp_lua_timeout(L, arg);
}

const struct mp_lua_condition mp_lua_queue_conditions[] = {
    {MP_EMPTY, "Empty", "the queue is empty"},
    {MP_FULL, "Full", "the queue is full"},
    {MP_CLOSED, "ShutDown", "the queue is shut down"},
    {MP_LIMIT, "ProcessError", "too many messages are being read at once"},
    {0, NULL, NULL},
};

static void get_result(lua_State *L, int r) {
  mp_lua_result_as(L, r == MP_TIMEOUT ? MP_EMPTY : r, "Queue", mp_lua_queue_conditions);
}

/* ---- get ---- */

/* Takes a message and pushes its value; what the core says. */
static inline int queue_receive(lua_State *L, struct mp_lua_queue *q, mp_deadline until) {
  mp_letter l;
  int r;
  if (mp_unlikely(q->kept_count != 0)) return mp_lua_letters_again(L, q);
  while (mp_unlikely((r = mp_queue_get(mp_lua_queue_handle(L, q), until, &l)) != 0)) {
    if (r != MP_INTERRUPTED) return r;
    mp_lua_interrupt(L);
  }
  mp_lua_letter_push(L, q, &l);
  return 0;
}

static int queue_get(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  get_result(L, queue_receive(L, q, until));
  return 1;
}

static int queue_get_nowait(lua_State *L) {
  get_result(L, queue_receive(L, mp_lua_queue_check(L), MP_NOW));
  return 1;
}

static int queue_try_get(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  mp_deadline until = mp_lua_queue_try_timeout(L, 2);
  lua_settop(L, 1);
  lua_pushboolean(L, 1);
  int r = queue_receive(L, q, until);
  if (r == 0) return 2;
  if (r == MP_CLOSED || r == MP_LIMIT || r < 0) get_result(L, r);
  lua_pushboolean(L, 0);
  return 1;
}

/* get_many(max [, block [, timeout]]) -> list */
static int queue_get_many(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  int whole = 0;
  lua_Integer max = lua_type(L, 2) == LUA_TNUMBER ? lua_tointegerx(L, 2, &whole) : 0;
  if (!whole) return mp_lua_raise_type(L, 2, "integer");
  if (max < 1)
    return mp_lua_raise(L, "ValueError", "max must be positive, got %I", (LUAI_UACINT)max);
  mp_deadline until = mp_lua_block_timeout(L, 3);
  lua_settop(L, 1);
  lua_newtable(L);
  get_result(L, mp_lua_letters_append(L, q, max, until));
  lua_settop(L, 2);
  return 1;
}

/* The iterator of items(): q, i -> i + 1, value; nil when the queue was shut down and is empty. */
static int queue_next(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  lua_settop(L, 1);
  lua_pushinteger(L, i + 1);
  int r = queue_receive(L, q, MP_FOREVER);
  if (r == MP_CLOSED) return 0;
  get_result(L, r);
  return 2;
}

static int queue_items(lua_State *L) {
  (void)mp_lua_queue_check(L);
  lua_pushcfunction(L, queue_next);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* ---- how it is ---- */

static mp_queue_state queue_state(lua_State *L) {
  mp_queue_state s;
  const struct mp_lua_queue *q = mp_lua_queue_check(L);
  mp_queue_look(q->base.handle, &s);
  s.size += q->kept_count;
  return s;
}

static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)queue_state(L).size);
  return 1;
}

static int queue_empty(lua_State *L) {
  lua_pushboolean(L, queue_state(L).size == 0);
  return 1;
}

static int queue_full(lua_State *L) {
  mp_queue_state s = queue_state(L);
  lua_pushboolean(L, s.max_items != 0 && s.size >= s.max_items);
  return 1;
}

/* ---- ends ---- */

/* The queue at argument 1, of any type, closed or not. */
static struct mp_lua_handle *queue_check_any(lua_State *L) {
  return mp_lua_handle_check_any(L, 1, type_wanted(mp_lua_handle_test(L, 1)));
}

static int queue_close(lua_State *L) {
  if (queue_check_any(L)->handle == NULL) return 0;
  mp_lua_handle_close(L, &mp_lua_queue_check(L)->base);
  return 0;
}

/* join_thread, cancel_join_thread: no thread carries what was put; it is there when put returns. */
static int queue_nothing(lua_State *L) {
  (void)queue_check_any(L);
  return 0;
}

static int queue_shutdown(lua_State *L) {
  static const struct mp_lua_option options[] = {{"immediate", MP_LUA_BOOLEAN},
                                                 {NULL, MP_LUA_ANY}};
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  mp_lua_options(L, 2, options);
  int immediate = lua_toboolean(L, 2);
  if (immediate) mp_lua_letters_drop(q);
  mp_queue_shutdown(q->base.handle, immediate);
  return 0;
}

static struct mp_lua_queue *joinable_check(lua_State *L) {
  return (struct mp_lua_queue *)mp_lua_handle_check(L, 1, &mp_lua_joinable_queue_type);
}

static int queue_task_done(lua_State *L) {
  if (mp_queue_task_done(joinable_check(L)->base.handle) != 0)
    return mp_lua_raise(L, "ValueError", "task_done() called too many times");
  return 0;
}

static int raise_lost(lua_State *L) {
  return mp_lua_raise_text(L, "WorkerLostError");
}

/* Raises WorkerLostError with `count`. */
static int join_lost(lua_State *L, uint64_t count) {
  lua_pushcfunction(L, raise_lost);
  lua_pushfstring(L, "%I message%s of the queue %s taken by processes that ended before task_done",
                  (LUAI_UACINT)count, count == 1 ? "" : "s", count == 1 ? "was" : "were");
  if (lua_pcall(L, 1, 0, 0) != LUA_OK && lua_istable(L, -1)) {
    lua_pushinteger(L, (lua_Integer)count);
    lua_setfield(L, -2, "count");
  }
  return lua_error(L);
}

static int queue_join(lua_State *L) {
  struct mp_lua_queue *q = joinable_check(L);
  mp_deadline until = mp_lua_timeout(L, 2);
  uint64_t known = q->lost;
  int r;
  do r = mp_queue_join(mp_lua_queue_handle(L, q), until, &q->lost);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  if (r == MP_LOST) return join_lost(L, q->lost - known);
  if (r != MP_TIMEOUT) mp_lua_result(L, r, "JoinableQueue");
  lua_pushboolean(L, r == 0);
  return 1;
}

/* ---- making them ---- */

/* A bound: nil, zero and less are none, as in Python. */
static uint64_t bound(lua_State *L, int index) {
  lua_Integer n = lua_tointeger(L, index);
  return n > 0 ? (uint64_t)n : 0;
}

static int queue_make(lua_State *L, const struct mp_lua_type *type, mp_queue_options *o) {
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_queue *q = (struct mp_lua_queue *)mp_lua_handle_new(L, type);
  mp_lua_result(L, mp_queue_new(c, o, &q->base.handle), type->name);
  return 1;
}

static int bounded_new(lua_State *L, const struct mp_lua_type *type, unsigned flavour) {
  static const struct mp_lua_option options[] = {
      {"maxsize", MP_LUA_INTEGER}, {"maxbytes", MP_LUA_INTEGER}, {NULL, MP_LUA_ANY}};
  mp_lua_options(L, 1, options);
  mp_queue_options o = {bound(L, 1), bound(L, 2), flavour};
  return queue_make(L, type, &o);
}

static int plain_new(lua_State *L) {
  return bounded_new(L, &mp_lua_queue_type, MP_QUEUE_PLAIN);
}
static int joinable_new(lua_State *L) {
  return bounded_new(L, &mp_lua_joinable_queue_type, MP_QUEUE_JOINABLE);
}
static int simple_new(lua_State *L) {
  mp_queue_options o = {0, 0, MP_QUEUE_SIMPLE};
  return queue_make(L, &mp_lua_simple_queue_type, &o);
}

#define PLAIN_METHODS                                                                         \
  {"put", mp_lua_queue_put}, {"put_nowait", mp_lua_queue_put_nowait},                         \
      {"try_put", mp_lua_queue_try_put}, {"put_many", mp_lua_queue_put_many},                 \
      {"get", queue_get}, {"get_nowait", queue_get_nowait}, {"try_get", queue_try_get},       \
      {"get_many", queue_get_many}, {"items", queue_items}, {"qsize", queue_qsize},           \
      {"empty", queue_empty}, {"full", queue_full}, {"close", queue_close},                   \
      {"shutdown", queue_shutdown}, {"join_thread", queue_nothing},                           \
      {"cancel_join_thread", queue_nothing}

static const luaL_Reg plain_methods[] = {PLAIN_METHODS, {NULL, NULL}};
static const luaL_Reg joinable_methods[] = {
    PLAIN_METHODS, {"task_done", queue_task_done}, {"join", queue_join}, {NULL, NULL}};
static const luaL_Reg simple_methods[] = {{"put", mp_lua_queue_put},
                                          {"get", queue_get},
                                          {"empty", queue_empty},
                                          {"close", queue_close},
                                          {NULL, NULL}};
static const luaL_Reg queue_functions[] = {{"Queue", plain_new},
                                           {"JoinableQueue", joinable_new},
                                           {"SimpleQueue", simple_new},
                                           {NULL, NULL}};

void mp_lua_open_queue(lua_State *L) {
  mp_lua_type(L, &mp_lua_queue_type, plain_methods, NULL);
  mp_lua_type(L, &mp_lua_joinable_queue_type, joinable_methods, NULL);
  mp_lua_type(L, &mp_lua_simple_queue_type, simple_methods, NULL);
  mp_lua_functions(L, queue_functions);
}
