/*
** A session's memory, used up and given back: for a torture where calls may fail for want of it.
*/
#ifndef SPEC_CRASH_HOARD_H
#define SPEC_CRASH_HOARD_H

#include "../../src/core/arena.h"
#include "../../src/core/context.h"

struct hoard {
  struct mp_context *c;
  uint64_t limit;  /* of the session's memory */
  mp_queue *queue; /* holds what is kept from the others */
};

static inline struct hoard hoard_new(struct mp_context *c, uint64_t limit) {
  struct hoard h = {c, limit, NULL};
  CHECK_EQ(mp_queue_new(c, &(mp_queue_options){0}, &h.queue), 0);
  return h;
}

/* From now on there is memory for everything. */
static inline void hoard_grant(const struct hoard *h) {
  w64_put(&mp_arena_head(&h->c->arena)->limit, h->limit);
}

/* From now on there is only what somebody gives back: no more is got from the system, and what is
** free is kept. */
static inline void hoard_fill(const struct hoard *h) {
  static const char bytes[4000];
  w64_put(&mp_arena_head(&h->c->arena)->limit, 1);
  for (size_t length = sizeof bytes; length > 0; length /= 4)
    while (mp_queue_put(h->queue, &(mp_parcel){.bytes = bytes, .length = length}, MP_NOW) == 0) {}
}

static inline void hoard_empty(const struct hoard *h) {
  mp_letter l;
  hoard_grant(h);
  while (mp_queue_get(h->queue, MP_NOW, &l) == 0) mp_letter_free(h->c, &l);
}

#endif
