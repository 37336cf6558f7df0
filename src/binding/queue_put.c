/*
** Queues: putting values, one by one and many at a time.
**
** A small value is encoded on the C stack, any other in the codec's buffer, before the core is
** entered; Lua code that runs meanwhile (a class's pack, a hook) may close the queue, so its handle
** is looked at afterwards. put_many makes up to 32 values ready, puts them in one step, goes on.
*/
#include <string.h>

#include "queue.h"

/* ---- one ---- */

static void put_result(lua_State *L, const struct mp_lua_queue *q, int r, size_t length) {
  if (mp_likely(r == 0)) return;
  if (r == MP_TOO_BIG) {
    mp_queue_state s;
    mp_queue_look(q->base.handle, &s);
    mp_lua_raise(L, "ValueError", "a message of %I bytes is larger than the queue's maxbytes, %I",
                 (LUAI_UACINT)length, (LUAI_UACINT)s.max_bytes);
  }
  mp_lua_result_as(L, r == MP_TIMEOUT ? MP_FULL : r, "Queue", mp_lua_queue_conditions);
}

/* Puts a parcel: 0 or MP_FULL; raises for the rest. */
static inline int queue_send_parcel(lua_State *L, struct mp_lua_queue *q, const mp_parcel *p,
                                    mp_deadline until) {
  int r;
  do r = mp_queue_put(mp_lua_queue_handle(L, q), p, until);
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

int mp_lua_queue_put(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  check_value(L);
  mp_deadline until = mp_lua_block_timeout(L, 3);
  put_result(L, q, queue_send(L, q, until), 0);
  return 0;
}

int mp_lua_queue_put_nowait(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  check_value(L);
  put_result(L, q, queue_send(L, q, MP_NOW), 0);
  return 0;
}

int mp_lua_queue_try_put(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  check_value(L);
  mp_deadline until = mp_lua_queue_try_timeout(L, 3);
  lua_pushboolean(L, queue_send(L, q, until) == 0);
  return 1;
}

/* ---- many ---- */

#define STAGED 32
#define STAGED_LARGE 4

/* private; the state of a put_many */
struct many {
  mp_deadline until;
  lua_Integer done;
};

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
    mp_queue *h = mp_lua_queue_handle(L, q);
    r = mp_queue_put_many(h, s->parcel + *done, s->count - *done, until, &some);
    *done += some;
  } while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  return r;
}

/* Stack: queue, list, how many; and, at 4, a userdata that counts those that went in. */
static int many_protected(lua_State *L) {
  struct mp_lua_queue *q = (struct mp_lua_queue *)lua_touserdata(L, 1);
  lua_Integer n = lua_tointeger(L, 3);
  struct many *m = (struct many *)lua_touserdata(L, 4);
  struct stage s;
  for (int r = 0; r == 0 && m->done < n; lua_settop(L, 4)) {
    size_t some = 0;
    stage_fill(L, &s, 2, m->done + 1, n - m->done);
    r = stage_send(L, q, &s, m->until, &some);
    for (size_t i = 0; i < s.larges; i++) mp_lua_encode_done(&s.large[i]);
    m->done += (lua_Integer)some;
    if (r != 0 && m->done == 0 && s.count > 0)
      put_result(L, q, r, s.parcel[0].length + s.parcel[0].tail_length);
  }
  return 0;
}

/* put_many(sequence [, block [, timeout]]) -> how many went in */
int mp_lua_queue_put_many(lua_State *L) {
  struct mp_lua_queue *q = mp_lua_queue_check(L);
  struct many m = {mp_lua_block_timeout(L, 3), 0};
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
