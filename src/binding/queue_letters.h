/*
** Letters: messages that were taken from a queue, on their way to becoming values.
*/
#ifndef MP_BINDING_QUEUE_LETTERS_H
#define MP_BINDING_QUEUE_LETTERS_H

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
