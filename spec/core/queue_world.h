/*
** Worlds around a queue, for crash enumeration.
*/
#ifndef SPEC_CORE_QUEUE_WORLD_H
#define SPEC_CORE_QUEUE_WORLD_H

#include "crash.h"

/* ---- a queue with messages 1, 2, … and how it is afterwards ---- */

TEST_TOOL int put_message(mp_queue *q, uint64_t n, size_t size) {
  unsigned char bytes[600];
  memset(bytes, (int)n, sizeof bytes);
  mp_parcel p = {.bytes = bytes, .length = size};
  return mp_queue_put(q, &p, MP_NOW);
}

TEST_TOOL void make_queue(struct crash_world *w, uint64_t items, uint64_t bytes, unsigned flavour) {
  mp_queue_options o = {items, bytes, flavour};
  CHECK_EQ(mp_queue_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
}

#define SMALL 8
#define LARGE 500

TEST_TOOL void fill_queue(struct crash_world *w, uint64_t n, bool mixed) {
  for (uint64_t i = 1; i <= n; i++)
    CHECK_EQ(put_message(w->theirs, i, mixed && i % 2 == 0 ? LARGE : SMALL), 0);
}

TEST_TOOL uint64_t size_of(const mp_queue *q) {
  mp_queue_state s;
  mp_queue_look(q, &s);
  return s.size;
}

/* Takes one; 0 when there is none. */
TEST_TOOL unsigned take_one(struct crash_world *w) {
  mp_letter l;
  int r = mp_queue_get(w->theirs, MP_NOW, &l);
  if (r == MP_EMPTY) return 0;
  CHECK_EQ(r, 0);
  const unsigned char *b = l.parcel.bytes;
  unsigned n = b[0];
  CHECK(l.parcel.length == SMALL || l.parcel.length == LARGE);
  for (size_t i = 0; i < l.parcel.length; i++) CHECK_EQ(b[i], n);
  mp_letter_free(w->other, &l);
  return n;
}

/* The queue holds messages from..to, in order, and works. */
TEST_TOOL void check_holds(struct crash_world *w, unsigned from, unsigned to) {
  for (unsigned n = from; n <= to; n++) CHECK_EQ(take_one(w), n);
  CHECK_EQ(take_one(w), 0);
  for (unsigned n = 0; n < 40; n++) {
    CHECK_EQ(put_message(w->theirs, n + 1, n % 3 == 0 ? LARGE : SMALL), 0);
    CHECK_EQ(take_one(w), n + 1);
  }
}

/* With the queue closed, nothing is left. */
TEST_TOOL void check_baseline(struct crash_world *w) {
  w->theirs = mp_queue_close(w->theirs);
  mp_heap_flush(w->other);
  mp_heap_flush(w->extra);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

#define ENUMERATE(what, before, operation, oracle) \
  crash_enumerate(&(struct crash_case){what, before, operation, oracle})

#endif
