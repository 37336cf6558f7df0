/*
** What the sources of queues share: the userdata, its check, and letters: messages that were taken,
** on their way to becoming values.
*/
#ifndef MP_BINDING_QUEUE_H
#define MP_BINDING_QUEUE_H

#include "../codec/scalar.h"
#include "binding.h"

/* The userdata of all queues. Letters that could not be made values for want of memory, and those
** behind them, are kept, and delivered first. */
struct mp_lua_queue {
  struct mp_lua_handle base;
  uint64_t lost;       /* losses that join has told of */
  mp_letter *kept;     /* the next one: in `single`, or in the userdata's user value */
  uint32_t kept_count;
  mp_letter single;
};

extern const struct mp_lua_type mp_lua_queue_type, mp_lua_joinable_queue_type,
    mp_lua_simple_queue_type;

struct mp_lua_queue *mp_lua_queue_check_slow(lua_State *L);

/* The open queue at argument 1, of any type. */
static inline struct mp_lua_queue *mp_lua_queue_check(lua_State *L) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, 1);
  if (mp_likely(u != NULL &&
                __atomic_load_n(mp_lua_known_at(u), __ATOMIC_RELAXED) == (uintptr_t)u &&
                u->handle != NULL && mp_context_valid(u->state->context))) {
    const struct mp_lua_type *type = mp_lua_handle_type(u);
    if (mp_likely(type == &mp_lua_queue_type || type == &mp_lua_joinable_queue_type ||
                  type == &mp_lua_simple_queue_type)) {
      u->state->running = L;
      return (struct mp_lua_queue *)u;
    }
  }
  return mp_lua_queue_check_slow(L);
}

/* Lua code has run, which may have closed the queue. */
static inline mp_queue *mp_lua_queue_handle(lua_State *L, const struct mp_lua_queue *q) {
  if (mp_unlikely(q->base.handle == NULL)) mp_lua_raise(L, "ValueError", "the queue is closed");
  return q->base.handle;
}

/* What the conditions of the core mean; ends with {0}. */
extern const struct mp_lua_condition mp_lua_queue_conditions[];

/* [timeout] of try_put and try_get: not given, there is no waiting. */
mp_deadline mp_lua_queue_try_timeout(lua_State *L, int arg);

/* The methods of queue_put.c. */
int mp_lua_queue_put(lua_State *L);
int mp_lua_queue_put_nowait(lua_State *L);
int mp_lua_queue_try_put(lua_State *L);
int mp_lua_queue_put_many(lua_State *L);

/* ---- letters (queue_letters.c) ---- */

void mp_lua_letter_push_slow(lua_State *L, struct mp_lua_queue *q, mp_letter *l);

/* Pushes a letter's value and frees the letter (numbers need no memory, there is nothing to free);
** or keeps the letter and raises, for want of memory;
** or frees it and raises what its decoding raised. */
static inline void mp_lua_letter_push(lua_State *L, struct mp_lua_queue *q, mp_letter *l) {
  if (mp_unlikely(l->block != 0 || !mp_codec_decode_number(L, l->small, l->parcel.length)))
    mp_lua_letter_push_slow(L, q, l);
}

/* Pushes the value of the first kept letter. 0. */
int mp_lua_letters_again(lua_State *L, struct mp_lua_queue *q);

/* Waits for one, then appends up to max values to the table on top of the stack. What mp_queue_get
** says if there are none. What a value's decoding raises is raised only where it is the first. */
int mp_lua_letters_append(lua_State *L, struct mp_lua_queue *q, lua_Integer max,
                          mp_deadline until);

/* Frees what is kept. */
void mp_lua_letters_drop(struct mp_lua_queue *q);

#endif
