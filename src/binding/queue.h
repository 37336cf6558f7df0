/*
** What the sources of queues share: the types, the check of an argument, the putting methods.
*/
#ifndef MP_BINDING_QUEUE_H
#define MP_BINDING_QUEUE_H

#include "queue_letters.h"

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

#endif
