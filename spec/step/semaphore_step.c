/* Semaphores of the optimised build, killed after every instruction. */
#include "step.h"

#define UNITS 2u

/* What the victim has done so far, in note[0]. */
enum { BEFORE, ACQUIRED, RELEASING, RELEASED };

static void say(struct step_world *w, int what) {
  w->shared->note[0] = what;
}

static void prepare(struct step_world *w, unsigned flags) {
  CHECK_EQ(mp_semaphore_new(w->c, &(mp_semaphore_options){UNITS, flags}, &w->object), 0);
}

static void prepare_plain(struct step_world *w) {
  prepare(w, 0);
}

static void prepare_bounded(struct step_world *w) {
  prepare(w, MP_SEMAPHORE_BOUNDED);
}

static void prepare_undo(struct step_world *w) {
  prepare(w, MP_SEMAPHORE_UNDO);
}

static void acquire_release(struct step_world *w) {
  if (mp_semaphore_acquire(w->object, MP_NOW) != 0) return;
  say(w, ACQUIRED);
  if (mp_semaphore_acquire(w->object, MP_NOW) != 0) return;
  if (mp_semaphore_release(w->object) != 0) return;
  say(w, RELEASING);
  if (mp_semaphore_release(w->object) == 0) say(w, RELEASED);
}

/* It has `value` units and works; then it goes, and nothing is left of it. */
static void check_works(struct step_world *w, unsigned value) {
  for (unsigned i = 0; i < value; i++) CHECK_EQ(mp_semaphore_acquire(w->object, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(w->object, MP_NOW), MP_TIMEOUT);
  for (unsigned i = 0; i < value; i++) CHECK_EQ(mp_semaphore_release(w->object), 0);
  CHECK_EQ(mp_semaphore_value(w->object), value);
  w->object = mp_semaphore_close(w->object);
  if (w->peer != NULL) return;
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

/* Without an account, what the victim had is gone: nothing else. */
static void judge_plain(struct step_world *w, bool done) {
  intptr_t said = w->shared->note[0];
  unsigned value = mp_semaphore_value(w->object);
  if (said == BEFORE) CHECK(value == UNITS || value == UNITS - 1);
  if (said == ACQUIRED) CHECK(value == UNITS - 1 || value == UNITS - 2);
  if (said == RELEASING) CHECK(value == UNITS - 1 || value == UNITS);
  if (said == RELEASED || done) CHECK_EQ(value, UNITS);
  check_works(w, value);
}

static void judge_accounted(struct step_world *w, bool done) {
  CHECK_EQ(mp_semaphore_value(w->object), UNITS);
  if (done) CHECK_EQ(w->shared->note[0], RELEASED);
  check_works(w, UNITS);
}

LONG_TEST(kill_in_a_plain_one, 100) {
  step_through(&(struct step_case){"semaphore, plain", prepare_plain, NULL, acquire_release,
                                   judge_plain, NULL});
}

LONG_TEST(kill_in_a_bounded_one, 100) {
  step_through(&(struct step_case){"semaphore, bounded", prepare_bounded, NULL, acquire_release,
                                   judge_accounted, NULL});
}

LONG_TEST(kill_in_one_with_undo, 100) {
  step_through(&(struct step_case){"semaphore, with undo", prepare_undo, NULL, acquire_release,
                                   judge_accounted, NULL});
}

/* ---- a release that a sleeper waits for ---- */

static int wait_for_unit(struct step_world *w) {
  int r = mp_semaphore_acquire(w->object, mp_in(20));
  if (r == 0) CHECK_EQ(mp_semaphore_release(w->object), 0);
  return r;
}

static void prepare_wanted(struct step_world *w) {
  if (w->object != NULL) return;
  prepare_bounded(w);
  peer_start(w, wait_for_unit);
}

static void take_all_and_be_wanted(struct step_world *w) {
  for (unsigned i = 0; i < UNITS; i++) CHECK_EQ(mp_semaphore_acquire(w->object, MP_NOW), 0);
  peer_ask(w);
}

static void release(struct step_world *w) {
  if (mp_semaphore_release(w->object) == 0) say(w, RELEASED);
}

/* Given or come back, the sleeper has its unit. */
static void settle_wanted(struct step_world *w) {
  CHECK_EQ(peer_answer(w), 0);
}

static void judge_wanted(struct step_world *w, bool done) {
  if (done) CHECK_EQ(w->shared->note[0], RELEASED);
  CHECK_EQ(mp_semaphore_value(w->object), UNITS);
}

LONG_TEST(kill_in_a_release_that_wakes, 100) {
  step_through(&(struct step_case){"semaphore release that wakes", prepare_wanted,
                                   take_all_and_be_wanted, release, judge_wanted, settle_wanted});
}

/* ---- what is done in two steps must be seen to be: the proof that a judge can fail ---- */

static void acquire_two(struct step_world *w) {
  for (int i = 0; i < 2; i++)
    if (mp_semaphore_acquire(w->object, MP_NOW) != 0) return;
}

static void judge_two(struct step_world *w, bool done) {
  unsigned value = mp_semaphore_value(w->object);
  (void)done;
  if (value == UNITS - 1) test_fail(__FILE__, __LINE__, "one unit without the other");
  check_works(w, value);
}

MUST_FAIL(kill_between_two_steps, 30, "one unit without the other") {
  step_through(&(struct step_case){"two units", prepare_plain, NULL, acquire_two, judge_two, NULL});
}
