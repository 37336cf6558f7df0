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
#include "queue_letters.h"

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
  static const struct mp_lua_type id = {                                                \
      .name = type_name, .noun = "queue", .kind = MP_KIND_QUEUE, .owns = owner,         \
      .size = sizeof(struct mp_lua_queue), .end = queue_end, .show = queue_show}
TYPE(plain_type, "Queue", owns_plain);
TYPE(joinable_type, "JoinableQueue", owns_joinable);
TYPE(simple_type, "SimpleQueue", owns_simple);

static struct mp_lua_queue *queue_check_other(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  const struct mp_lua_type *type = u != NULL ? mp_lua_handle_type(u) : NULL;
  if (type != &joinable_type && type != &simple_type) type = &plain_type;
  return (struct mp_lua_queue *)mp_lua_handle_check_slow(L, 1, type, false);
}

/* The open queue at argument 1, of any type. */
static inline struct mp_lua_queue *queue_check(lua_State *L) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, 1);
  if (mp_likely(u != NULL &&
                __atomic_load_n(mp_lua_known_at(u), __ATOMIC_RELAXED) == (uintptr_t)u &&
                u->handle != NULL && mp_context_valid(u->state->context))) {
    const struct mp_lua_type *type = mp_lua_handle_type(u);
    if (mp_likely(type == &plain_type || type == &joinable_type || type == &simple_type)) {
      u->state->running = L;
      return (struct mp_lua_queue *)u;
    }
  }
  return queue_check_other(L);
}

/* Lua code has run, which may have closed the queue. */
static mp_queue *queue_handle(lua_State *L, const struct mp_lua_queue *q) {
  if (q->base.handle == NULL) mp_lua_raise(L, "ValueError", "the queue is closed");
  return q->base.handle;
}

static const struct mp_lua_condition conditions[] = {
    {MP_EMPTY, "Empty", "the queue is empty"},
    {MP_FULL, "Full", "the queue is full"},
    {MP_CLOSED, "ShutDown", "the queue is shut down"},
    {MP_LIMIT, "ProcessError", "too many messages are being read at once"},
    {0, NULL, NULL},
};

static void put_result(lua_State *L, const struct mp_lua_queue *q, int r, size_t length) {
  if (mp_likely(r == 0)) return;
  if (r == MP_TOO_BIG) {
    mp_queue_state s;
    mp_queue_look(q->base.handle, &s);
    mp_lua_raise(L, "ValueError", "a message of %I bytes is larger than the queue's maxbytes, %I",
                 (LUAI_UACINT)length, (LUAI_UACINT)s.max_bytes);
  }
  mp_lua_result_as(L, r == MP_TIMEOUT ? MP_FULL : r, "Queue", conditions);
}

static void get_result(lua_State *L, int r) {
  mp_lua_result_as(L, r == MP_TIMEOUT ? MP_EMPTY : r, "Queue", conditions);
}

/* ---- put ---- */

/* Puts a parcel: 0 or MP_FULL; raises for the rest. */
static inline int queue_send_parcel(lua_State *L, struct mp_lua_queue *q, const mp_parcel *p,
                                    mp_deadline until) {
  int r;
  do r = mp_queue_put(queue_handle(L, q), p, until);
  while (mp_unlikely(r == MP_INTERRUPTED) && mp_lua_interrupt(L));
  if (mp_likely(r == 0)) return 0;
  if (r == MP_FULL || r == MP_TIMEOUT) return MP_FULL;
  put_result(L, q, r, p->length + p->tail_length);
  return r;
}

/* Puts the value at stack index 2: 0 or MP_FULL; raises for the rest. */
static int queue_send(lua_State *L, struct mp_lua_queue *q, mp_deadline until) {
  unsigned char small[MP_CODEC_SCALAR_MAX];
  size_t n = mp_codec_encode_scalar(L, 2, small);
  if (mp_likely(n != 0)) {
    mp_parcel scalar = {.bytes = small, .length = n};
    return queue_send_parcel(L, q, &scalar, until);
  }
  struct mp_lua_parcel p;
  mp_lua_encode_value(L, 2, "value", &p);
  int r = queue_send_parcel(L, q, &p.parcel, until);
  mp_lua_encode_done(&p);
  return r;
}

static void check_value(lua_State *L) {
  if (lua_isnone(L, 2)) mp_lua_raise_argument(L, 2, "TypeError", "value expected");
}

static int queue_put(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  check_value(L);
  mp_deadline until = mp_lua_block_timeout(L, 3);
  put_result(L, q, queue_send(L, q, until), 0);
  return 0;
}

static int queue_put_nowait(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  check_value(L);
  put_result(L, q, queue_send(L, q, MP_NOW), 0);
  return 0;
}

/* [timeout] of try_put and try_get: not given, there is no waiting. */
static mp_deadline try_timeout(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? MP_NOW : mp_lua_timeout(L, arg);
}

static int queue_try_put(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  check_value(L);
  mp_deadline until = try_timeout(L, 3);
  lua_pushboolean(L, queue_send(L, q, until) == 0);
  return 1;
}

/* ---- put_many ---- */

#define STAGED 32
#define STAGED_LARGE 4

/* Values made ready for one step; on the C stack. */
struct stage {
  mp_parcel parcel[STAGED];
  unsigned char small[STAGED][MP_LETTER_SMALL];
  struct mp_lua_parcel large[STAGED_LARGE];
  size_t count, larges;
};

/* Encodes the value on top of the stack, which stays there only if the parcel needs it. */
static void stage_add(lua_State *L, struct stage *s) {
  struct mp_lua_parcel *p = &s->large[s->larges];
  unsigned char *small = s->small[s->count];
  mp_parcel *to = &s->parcel[s->count++];
  int at = lua_gettop(L);
  size_t n = mp_codec_encode_scalar(L, at, small);
  if (n == 0) {
    mp_lua_encode_value(L, at, "value", p);
    n = p->parcel.length;
    if (n + p->parcel.tail_length > MP_LETTER_SMALL || p->parcel.ticket_count != 0) {
      *to = p->parcel;
      s->larges++;
      return;
    }
    memcpy(small, p->parcel.bytes, n);
    mp_lua_encode_done(p);
  }
  *to = (mp_parcel){.bytes = small, .length = n};
  lua_settop(L, at - 1);
}

/* Makes ready the values from list[i] on, n at most. */
static void stage_fill(lua_State *L, struct stage *s, int list, lua_Integer i, lua_Integer n) {
  s->count = s->larges = 0;
  luaL_checkstack(L, 4 * STAGED_LARGE + 8, NULL);
  for (; n > 0 && s->count < STAGED && s->larges < STAGED_LARGE; n--, i++) {
    lua_rawgeti(L, list, i);
    stage_add(L, s);
  }
}

static int stage_send(lua_State *L, struct mp_lua_queue *q, const struct stage *s,
                      mp_deadline until, size_t *done) {
  size_t some;
  int r;
  *done = 0;
  do {
    r = mp_queue_put_many(queue_handle(L, q), s->parcel + *done, s->count - *done, until, &some);
    *done += some;
  } while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  return r;
}

/* Stack: queue, list, how many; and, at 4, a userdata that counts those that went in. */
static int many_protected(lua_State *L) {
  struct mp_lua_queue *q = (struct mp_lua_queue *)lua_touserdata(L, 1);
  lua_Integer n = lua_tointeger(L, 3);
  struct mp_lua_many *m = (struct mp_lua_many *)lua_touserdata(L, 4);
  struct stage s;
  for (int r = 0; r == 0 && m->done < n; lua_settop(L, 4)) {
    size_t some = 0;
    stage_fill(L, &s, 2, m->done + 1, n - m->done);
    r = stage_send(L, q, &s, m->until, &some);
    for (size_t i = 0; i < s.larges; i++) mp_lua_encode_done(&s.large[i]);
    m->done += (lua_Integer)some;
    if (r != 0 && m->done == 0) put_result(L, q, r, s.parcel[0].length + s.parcel[0].tail_length);
  }
  return 0;
}

/* put_many(sequence [, block [, timeout]]) -> how many went in */
static int queue_put_many(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  struct mp_lua_many m = {mp_lua_block_timeout(L, 3), 0};
  lua_settop(L, 2);
  mp_lua_require(L, "multiprocessing.sequence");
  lua_getfield(L, -1, "list");
  lua_replace(L, 3);
  lua_insert(L, 2);
  lua_pushliteral(L, "values");
  lua_call(L, 2, 2); /* queue, list, n */
  lua_pushcfunction(L, many_protected);
  lua_insert(L, 1);
  lua_pushlightuserdata(L, &m);
  lua_pushvalue(L, 2);
  lua_insert(L, 1); /* the queue must not be collected meanwhile */
  (void)q;
  if (lua_pcall(L, 4, 0, 0) != LUA_OK) {
    if (m.done > 0 && lua_istable(L, -1)) {
      lua_pushinteger(L, m.done);
      lua_setfield(L, -2, "done");
    }
    return lua_error(L);
  }
  lua_pushinteger(L, m.done);
  return 1;
}

/* ---- get ---- */

/* Takes a message and pushes its value; what the core says. */
static inline int queue_receive(lua_State *L, struct mp_lua_queue *q, mp_deadline until) {
  mp_letter l;
  int r;
  if (mp_unlikely(q->kept_count != 0)) return mp_lua_letters_again(L, q);
  while (mp_unlikely((r = mp_queue_get(queue_handle(L, q), until, &l)) != 0)) {
    if (r != MP_INTERRUPTED) return r;
    mp_lua_interrupt(L);
  }
  mp_lua_letter_push(L, q, &l);
  return 0;
}

static int queue_get(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  mp_deadline until = mp_lua_block_timeout(L, 2);
  get_result(L, queue_receive(L, q, until));
  return 1;
}

static int queue_get_nowait(lua_State *L) {
  get_result(L, queue_receive(L, queue_check(L), MP_NOW));
  return 1;
}

static int queue_try_get(lua_State *L) {
  struct mp_lua_queue *q = queue_check(L);
  mp_deadline until = try_timeout(L, 2);
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
  struct mp_lua_queue *q = queue_check(L);
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
  struct mp_lua_queue *q = queue_check(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  lua_settop(L, 1);
  lua_pushinteger(L, i + 1);
  int r = queue_receive(L, q, MP_FOREVER);
  if (r == MP_CLOSED) return 0;
  get_result(L, r);
  return 2;
}

static int queue_items(lua_State *L) {
  (void)queue_check(L);
  lua_pushcfunction(L, queue_next);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* ---- how it is ---- */

static mp_queue_state queue_state(lua_State *L) {
  mp_queue_state s;
  const struct mp_lua_queue *q = queue_check(L);
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

static int queue_close(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u != NULL && u->handle == NULL) return 0;
  mp_lua_handle_close(L, &queue_check(L)->base);
  return 0;
}

/* join_thread, cancel_join_thread: no thread carries what was put; it is there when put returns. */
static int queue_nothing(lua_State *L) {
  if (mp_lua_handle_test(L, 1) == NULL) (void)queue_check(L);
  return 0;
}

static int queue_shutdown(lua_State *L) {
  static const struct mp_lua_option options[] = {{"immediate", MP_LUA_BOOLEAN},
                                                 {NULL, MP_LUA_ANY}};
  struct mp_lua_queue *q = queue_check(L);
  mp_lua_options(L, 2, options);
  int immediate = lua_toboolean(L, 2);
  if (immediate) mp_lua_letters_drop(q);
  mp_queue_shutdown(q->base.handle, immediate);
  return 0;
}

static struct mp_lua_queue *joinable_check(lua_State *L) {
  return (struct mp_lua_queue *)mp_lua_handle_check(L, 1, &joinable_type);
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
  do r = mp_queue_join(queue_handle(L, q), until, &q->lost);
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
  return bounded_new(L, &plain_type, MP_QUEUE_PLAIN);
}
static int joinable_new(lua_State *L) {
  return bounded_new(L, &joinable_type, MP_QUEUE_JOINABLE);
}
static int simple_new(lua_State *L) {
  mp_queue_options o = {0, 0, MP_QUEUE_SIMPLE};
  return queue_make(L, &simple_type, &o);
}

#define PLAIN_METHODS                                                                      \
  {"put", queue_put}, {"get", queue_get}, {"put_nowait", queue_put_nowait},                \
      {"get_nowait", queue_get_nowait}, {"try_put", queue_try_put},                        \
      {"try_get", queue_try_get}, {"put_many", queue_put_many},                            \
      {"get_many", queue_get_many}, {"items", queue_items}, {"qsize", queue_qsize},        \
      {"empty", queue_empty}, {"full", queue_full}, {"close", queue_close},                \
      {"shutdown", queue_shutdown}, {"join_thread", queue_nothing},                        \
      {"cancel_join_thread", queue_nothing}

static const luaL_Reg plain_methods[] = {PLAIN_METHODS, {NULL, NULL}};
static const luaL_Reg joinable_methods[] = {
    PLAIN_METHODS, {"task_done", queue_task_done}, {"join", queue_join}, {NULL, NULL}};
static const luaL_Reg simple_methods[] = {{"put", queue_put},
                                          {"get", queue_get},
                                          {"empty", queue_empty},
                                          {"close", queue_close},
                                          {NULL, NULL}};
static const luaL_Reg queue_functions[] = {{"Queue", plain_new},
                                           {"JoinableQueue", joinable_new},
                                           {"SimpleQueue", simple_new},
                                           {NULL, NULL}};

void mp_lua_open_queue(lua_State *L) {
  mp_lua_type(L, &plain_type, plain_methods, NULL);
  mp_lua_type(L, &joinable_type, joinable_methods, NULL);
  mp_lua_type(L, &simple_type, simple_methods, NULL);
  mp_lua_functions(L, queue_functions);
}
