/* Objects and handles, and whoever dies while making, opening, mentioning, copying, cleaning
** them. */
#include "crash.h"

#include "../../src/core/message.h"
#include "../../src/core/object_layout.h"

#define SOME (MP_SLOT_HANDLES + 1)                    /* handles: more than the slot has room for */
#define MANY (MP_SLOT_HANDLES + ENTRIES_IN_BLOCK + 1) /* more than the slot and one further block */
#define BYTES 256 /* of an object that is a lock which nobody ever took */

static struct mp_handle *object(struct mp_context *c) {
  struct mp_handle *h;
  CHECK_EQ(mp_object_new(c, MP_KIND_LOCK, BYTES, &h), 0);
  mp_object_publish(h, NULL, 0);
  return h;
}

static uint32_t objects(struct mp_context *c) {
  uint32_t count[MP_KINDS], sum = 0;
  mp_object_counts(c, count);
  for (uint32_t k = 0; k < MP_KINDS; k++) sum += count[k];
  return sum;
}

/* Only the three participants of the world have slots, and the dead one none. */
static uint32_t slots(struct mp_context *c) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high), n = 0;
  for (uint32_t i = 0; i < high; i++) n += w64_get(&mp_slot_at(&c->arena, i)->who) != 0;
  return n;
}

/* What is left when the victim is gone: what `theirs` is on, if anything, with one holder. */
static void judge_baseline(struct crash_world *w, bool done) {
  (void)done;
  CHECK_EQ(objects(w->other), w->theirs != NULL);
  if (w->theirs != NULL) {
    CHECK_EQ(w32_get(&w->theirs->object->holders), 1);
    CHECK_EQ(w32_get(&w->theirs->object->mentions), 0);
    w->theirs = mp_handle_close(w->theirs);
  }
  CHECK_EQ(slots(w->other), 2);
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(w->other, 64, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(w->other, block);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static void prepare_theirs(struct crash_world *w) {
  w->theirs = object(w->other);
}

static void prepare_mine(struct crash_world *w) {
  w->mine = object(w->victim);
}

static void prepare_both(struct crash_world *w) {
  prepare_theirs(w);
  w->mine = crash_open(w->victim, w->theirs);
}

static void prepare_handles(struct crash_world *w, unsigned n) {
  for (unsigned i = 0; i < n; i++) (void)object(w->victim);
}

/* ---- one object ---- */

static int publish(struct crash_world *w, struct mp_context *c) {
  (void)w;
  struct mp_handle *h;
  int r = mp_object_new(c, MP_KIND_LOCK, BYTES, &h);
  if (r == 0) mp_object_publish(h, NULL, 0);
  return r;
}

static int drop(struct crash_world *w, struct mp_context *c) {
  (void)w;
  struct mp_handle *h;
  int r = mp_object_new(c, MP_KIND_LOCK, BYTES, &h);
  if (r == 0) mp_object_drop(h);
  return r;
}

static int open_theirs(struct crash_world *w, struct mp_context *c) {
  return mp_handle_open(c, mp_handle_ticket(w->theirs), &w->mine);
}

static int open_and_close(struct crash_world *w, struct mp_context *c) {
  int r = open_theirs(w, c);
  if (r == 0) w->mine = mp_handle_close(w->mine);
  return r;
}

static int close_mine(struct crash_world *w, struct mp_context *c) {
  (void)c;
  w->mine = mp_handle_close(w->mine);
  return 0;
}

static int give_up(struct crash_world *w, struct mp_context *c) {
  (void)w;
  w64_put(&c->slot->waits, 0); /* a store to die at */
  return 0;
}

#define CRASH_TEST(name, prepare, operation, what)                                  \
  LONG_TEST(name, 240) {                                                            \
    crash_enumerate(&(struct crash_case){what, prepare, operation, judge_baseline}); \
  }

CRASH_TEST(a_death_in_new_and_publish, prepare_nothing, publish, "object new, publish")
CRASH_TEST(a_death_in_new_and_drop, prepare_nothing, drop, "object new, drop")
CRASH_TEST(a_death_in_open, prepare_theirs, open_theirs, "handle open")
CRASH_TEST(a_death_in_open_and_close, prepare_theirs, open_and_close, "handle open, close")
CRASH_TEST(a_death_in_the_last_close, prepare_mine, close_mine, "handle close, the last one")
CRASH_TEST(a_death_in_a_close, prepare_both, close_mine, "handle close")
CRASH_TEST(a_death_with_a_handle, prepare_both, give_up, "handle held")

/* ---- mentions in messages ---- */

static int mention(struct crash_world *w, struct mp_context *c) {
  mp_ticket t[2] = {mp_handle_ticket(w->theirs), mp_handle_ticket(w->theirs)};
  struct mp_parcel p = {.bytes = "text", .length = 4, .tickets = t, .ticket_count = 2};
  mp_ref message;
  return mp_message_reserve(c, &p, &message);
}

static int mention_and_forget(struct crash_world *w, struct mp_context *c) {
  mp_ticket t[2] = {mp_handle_ticket(w->theirs), mp_handle_ticket(w->theirs)};
  struct mp_parcel p = {.bytes = "text", .length = 4, .tickets = t, .ticket_count = 2};
  mp_ref message;
  int r = mp_message_reserve(c, &p, &message);
  if (r == 0) mp_message_unreserve(c, message);
  return r;
}

/* The message is the last that mentions the object: freeing it takes the object apart. */
static int forget_the_last(struct crash_world *w, struct mp_context *c) {
  mp_ticket t = mp_handle_ticket(w->mine);
  struct mp_parcel p = {.bytes = "text", .length = 4, .tickets = &t, .ticket_count = 1};
  mp_ref message;
  int r = mp_message_reserve(c, &p, &message);
  if (r != 0) return r;
  w->mine = mp_handle_close(w->mine);
  mp_message_unreserve(c, message);
  return 0;
}

CRASH_TEST(a_death_in_mention, prepare_theirs, mention, "message reserve with tickets")
CRASH_TEST(a_death_in_forget, prepare_theirs, mention_and_forget, "message reserve, unreserve")
CRASH_TEST(a_death_in_the_last_forget, prepare_mine, forget_the_last, "message, the last mention")

/* ---- many handles ---- */

static void prepare_full_slot(struct crash_world *w) {
  prepare_theirs(w);
  prepare_handles(w, SOME - 1);
}

static void prepare_full_block(struct crash_world *w) {
  prepare_theirs(w);
  prepare_handles(w, MANY - 1);
}

static void prepare_some(struct crash_world *w) {
  prepare_handles(w, SOME);
}

static void prepare_many(struct crash_world *w) {
  prepare_handles(w, MANY);
}

/* What fork does before it forks, and when that fails. */
static int copy(struct crash_world *w, struct mp_context *c) {
  (void)w;
  uint32_t index;
  int r = mp_slot_reserve(c, &index);
  if (r != 0) return r;
  struct mp_slot *child = mp_slot_at(&c->arena, index);
  r = mp_handles_copy(c, child);
  w32_put(&child->parent, 0);
  uint32_t tag = mp_slot_tag(&c->arena, index);
  mp_slot_abandon(c, index);
  CHECK(mp_context_bury(c, tag));
  return r;
}

CRASH_TEST(a_death_in_an_open_that_needs_a_block, prepare_full_slot, open_theirs,
           "handle open, the first in a block")
CRASH_TEST(a_death_in_an_open_that_needs_another, prepare_full_block, open_theirs,
           "handle open, the first in a second block")
CRASH_TEST(a_death_in_copying_some_handles, prepare_some, copy, "handles copied, with a block")
CRASH_TEST(a_death_in_copying_many_handles, prepare_many, copy, "handles copied, with two blocks")
CRASH_TEST(a_death_with_many_handles, prepare_many, give_up, "many handles held")
