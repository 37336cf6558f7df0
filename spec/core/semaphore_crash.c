/* Semaphores, and whoever dies in the middle of them. */
#include "crash.h"

enum { VALUE, FLAGS }; /* in note */

static void prepare_with(struct crash_world *w, unsigned value, unsigned flags) {
  mp_semaphore_options o = {value, flags};
  CHECK_EQ(mp_semaphore_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  w->note[VALUE] = (intptr_t)value;
  w->note[FLAGS] = (intptr_t)flags;
}

static void prepare_plain(struct crash_world *w) {
  prepare_with(w, 2, 0);
}
static void prepare_bounded(struct crash_world *w) {
  prepare_with(w, 2, MP_SEMAPHORE_BOUNDED);
}
static void prepare_empty(struct crash_world *w) {
  prepare_with(w, 1, MP_SEMAPHORE_BOUNDED);
  CHECK_EQ(mp_semaphore_acquire(w->theirs, MP_NOW), 0);
}

/* The other and the extra one hold units, the extra one for longer; somebody has slept for more. */
static void prepare_held_by_others(struct crash_world *w) {
  prepare_with(w, 2, MP_SEMAPHORE_BOUNDED);
  struct mp_handle *third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_semaphore_acquire(third, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(w->theirs, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(third, CRASH_NAP), MP_TIMEOUT);
}

enum { CROWD = 8 };
static struct mp_context *crowd[CROWD];

/* All records are in use: the next one makes the table grow. */
static void prepare_crowd(struct crash_world *w) {
  prepare_with(w, 20, MP_SEMAPHORE_BOUNDED);
  for (int i = 0; i < CROWD; i++) {
    crowd[i] = crash_context();
    CHECK_EQ(mp_semaphore_acquire(crash_open(crowd[i], w->theirs), MP_NOW), 0);
  }
}

static void prepare_undo(struct crash_world *w) {
  prepare_with(w, 2, MP_SEMAPHORE_UNDO);
}

static void prepare_plain_empty(struct crash_world *w) {
  prepare_with(w, 1, 0);
  CHECK_EQ(mp_semaphore_acquire(w->theirs, MP_NOW), 0);
}

/* The other one has the only unit, and gives it back while the victim naps. */
static struct crash_world *world;

static void give_back(struct crash_world *w) {
  if (mp_semaphore_value(w->theirs) == 0) CHECK_EQ(mp_semaphore_release(w->theirs), 0);
}

static void give_back_aside(struct mp_context *c) {
  (void)c;
  crash_aside(give_back, world);
}

static void prepare_given_back(struct crash_world *w) {
  prepare_empty(w);
  world = w;
  w->victim->tend = give_back_aside;
}

static void prepare_plain_given_back(struct crash_world *w) {
  prepare_plain_empty(w);
  world = w;
  w->victim->tend = give_back_aside;
}

static void prepare_held(struct crash_world *w) {
  prepare_bounded(w);
  CHECK_EQ(mp_semaphore_acquire(w->mine, MP_NOW), 0);
}

/* The victim believes that it has a unit. */
static void prepare_taken_away(struct crash_world *w) {
  prepare_held(w);
  CHECK_EQ(mp_semaphore_release(w->theirs), 0);
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static int make(struct crash_world *w, struct mp_context *c) {
  mp_semaphore *s;
  mp_semaphore_options o = {2, MP_SEMAPHORE_BOUNDED};
  (void)w;
  int r = mp_semaphore_new(c, &o, &s);
  if (r == 0) mp_semaphore_close(s);
  return r;
}

static int acquire(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_semaphore_acquire(w->mine, MP_NOW);
}

static int acquire_release(struct crash_world *w, struct mp_context *c) {
  (void)c;
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_semaphore_acquire(w->mine, MP_NOW), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_semaphore_release(w->mine), 0);
  return 0;
}

static int release_it(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_semaphore_release(w->mine);
}

static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_semaphore_acquire(w->mine, CRASH_NAP);
}

static int close_it(struct crash_world *w, struct mp_context *c) {
  (void)c;
  w->mine = mp_semaphore_close(w->mine);
  return 0;
}

static void judge_nothing_left(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  (void)done;
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_SEMAPHORE], 0);
}

/* All units of an accounted one are back. */
static void judge_complete(struct crash_world *w, bool done) {
  (void)done;
  CHECK_EQ(mp_semaphore_value(w->theirs), w->note[VALUE]);
  for (intptr_t i = 0; i < w->note[VALUE]; i++)
    CHECK_EQ(mp_semaphore_acquire(w->theirs, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(w->theirs, MP_NOW), MP_TIMEOUT);
  for (intptr_t i = 0; i < w->note[VALUE]; i++) CHECK_EQ(mp_semaphore_release(w->theirs), 0);
}

/* A plain one has lost what the victim took, at most. */
static void judge_plain(struct crash_world *w, bool done) {
  unsigned value = mp_semaphore_value(w->theirs);
  CHECK(value <= 2);
  CHECK(!done || value == 2);
  CHECK_EQ(mp_semaphore_release(w->theirs), 0);
  CHECK_EQ(mp_semaphore_value(w->theirs), value + 1);
}

static void judge_theirs(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_semaphore_value(w->theirs), 0);
  CHECK_EQ(mp_semaphore_release(w->theirs), 0);
  judge_complete(w, done);
}

/* Whatever the victim had is back; the other's unit too, if it has not given it back itself. */
static void judge_got(struct crash_world *w, bool done) {
  CHECK(!done || w->result == 0);
  give_back(w);
  judge_complete(w, done);
}

static void judge_plain_theirs(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_semaphore_value(w->theirs), 0);
}

/* What it took is gone with it. */
static void judge_plain_got(struct crash_world *w, bool done) {
  CHECK(!done || w->result == 0);
  CHECK(mp_semaphore_value(w->theirs) == 0 || !done);
}

/* The unit came off the extra one's account, or the release never was. */
static void judge_charged(struct crash_world *w, bool done) {
  unsigned value = mp_semaphore_value(w->theirs);
  CHECK(value == 1 || (value == 0 && !done));
  w->extra = mp_context_close(w->extra);
  CHECK_EQ(mp_semaphore_value(w->theirs), 1);
  CHECK_EQ(mp_semaphore_release(w->theirs), 0);
  judge_complete(w, done);
}

/* The crowd's units stay theirs until they end. */
static void judge_crowd(struct crash_world *w, bool done) {
  CHECK_EQ(mp_semaphore_value(w->theirs), 20 - CROWD);
  for (int i = 0; i < CROWD; i++) mp_context_close(crowd[i]);
  judge_complete(w, done);
}

#define CRASH_TEST(name, prepare, operation, judge)                                   \
  LONG_TEST(name, 120) {                                                              \
    crash_enumerate(&(struct crash_case){"semaphore: " #name, prepare, operation, judge}); \
  }

CRASH_TEST(a_death_in_new_and_close, prepare_nothing, make, judge_nothing_left)
CRASH_TEST(a_death_in_a_plain_one, prepare_plain, acquire_release, judge_plain)
CRASH_TEST(a_death_in_acquire, prepare_bounded, acquire, judge_complete)
CRASH_TEST(a_death_in_acquire_and_release, prepare_bounded, acquire_release, judge_complete)
CRASH_TEST(a_death_in_a_wait, prepare_empty, wait_in_vain, judge_theirs)
CRASH_TEST(a_death_in_a_foreign_release, prepare_held_by_others, release_it, judge_charged)
CRASH_TEST(a_death_in_growth, prepare_crowd, acquire, judge_crowd)
CRASH_TEST(a_death_with_undo, prepare_undo, acquire_release, judge_complete)
CRASH_TEST(a_death_in_a_wait_for_a_plain_one, prepare_plain_empty, wait_in_vain, judge_plain_theirs)
CRASH_TEST(a_death_in_a_wait_that_succeeds, prepare_given_back, wait_in_vain, judge_got)
CRASH_TEST(a_death_in_a_wait_for_a_plain_one_that_succeeds, prepare_plain_given_back, wait_in_vain,
           judge_plain_got)
CRASH_TEST(a_death_in_closing_one_that_is_held, prepare_held, close_it, judge_complete)
CRASH_TEST(a_death_in_closing_one_that_was_released, prepare_taken_away, close_it, judge_complete)
