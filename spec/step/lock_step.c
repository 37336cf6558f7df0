/* Lock and RLock of the optimised build, killed after every instruction. */
#include "step.h"

/* What the victim has done so far, in note[0]. */
enum { BEFORE, ACQUIRED, RELEASING, RELEASED };

static void say(struct step_world *w, int what) {
  w->shared->note[0] = what;
}

static void prepare_lock(struct step_world *w) {
  if (w->object == NULL) CHECK_EQ(mp_lock_new(w->c, &w->object), 0);
}

static void prepare_rlock(struct step_world *w) {
  if (w->object == NULL) CHECK_EQ(mp_rlock_new(w->c, &w->object), 0);
}

static void acquire(struct step_world *w) {
  if (mp_lock_acquire(w->object, MP_NOW) == 0) say(w, ACQUIRED);
}

static void release(struct step_world *w) {
  say(w, RELEASING);
  if (mp_lock_release(w->object) == 0) say(w, RELEASED);
}

static void acquire_release(struct step_world *w) {
  acquire(w);
  release(w);
}

static void acquire_in_warmth(struct step_world *w) {
  CHECK_EQ(mp_lock_acquire(w->object, MP_NOW), 0);
  say(w, ACQUIRED);
}

/* Takes the lock, tells who died with it, and gives it back; twice, as it is told once. */
static int take_and_give(mp_lock *l) {
  int first = mp_lock_acquire(l, MP_NOW);
  CHECK_EQ(mp_lock_release(l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), 0);
  CHECK_EQ(mp_lock_release(l), 0);
  CHECK_EQ(mp_lock_locked(l), 0);
  return first;
}

/* Abandoned when it was held, free when it was not, and nothing else at any time. */
static void judge_lock(struct step_world *w, bool done) {
  intptr_t said = w->shared->note[0];
  int r = take_and_give(w->object);
  CHECK(r == 0 || r == MP_ABANDONED);
  if (said == ACQUIRED) CHECK_EQ(r, MP_ABANDONED);
  if (said == RELEASED) CHECK_EQ(r, 0);
  if (done) CHECK(said == ACQUIRED || said == RELEASED);
}

LONG_TEST(kill_in_acquire, 100) {
  step_through(&(struct step_case){"lock acquire", prepare_lock, NULL, acquire, judge_lock, NULL});
}

LONG_TEST(kill_in_acquire_and_release, 100) {
  step_through(&(struct step_case){"lock acquire and release", prepare_lock, NULL, acquire_release,
                                   judge_lock, NULL});
}

/* ---- an RLock, three deep ---- */

static void recurse(struct step_world *w) {
  for (int i = 0; i < 3; i++)
    if (mp_rlock_acquire(w->object, MP_NOW) != 0) return;
  say(w, ACQUIRED);
  for (int i = 0; i < 2; i++)
    if (mp_rlock_release(w->object) != 0) return;
  say(w, RELEASING);
  if (mp_rlock_release(w->object) == 0) say(w, RELEASED);
}

static void judge_rlock(struct step_world *w, bool done) {
  intptr_t said = w->shared->note[0];
  int r = mp_rlock_acquire(w->object, MP_NOW);
  CHECK(r == 0 || r == MP_ABANDONED);
  if (said == ACQUIRED) CHECK_EQ(r, MP_ABANDONED);
  if (said == RELEASED) CHECK_EQ(r, 0);
  if (done) CHECK_EQ(said, RELEASED);
  CHECK_EQ(mp_rlock_acquire(w->object, MP_NOW), 0);
  CHECK_EQ(mp_rlock_release(w->object), 0);
  CHECK_EQ(mp_lock_mine(w->object), 1);
  CHECK_EQ(mp_rlock_release(w->object), 0);
  CHECK_EQ(mp_lock_locked(w->object), 0);
}

LONG_TEST(kill_in_an_rlock, 100) {
  step_through(&(struct step_case){"rlock, three deep", prepare_rlock, NULL, recurse, judge_rlock,
                                   NULL});
}

/* ---- a release that a sleeper waits for ---- */

static int wait_for_it(struct step_world *w) {
  int r = mp_lock_acquire(w->object, mp_in(20));
  if (r == 0 || r == MP_ABANDONED) CHECK_EQ(mp_lock_release(w->object), 0);
  return r;
}

static void prepare_wanted(struct step_world *w) {
  prepare_lock(w);
  if (w->peer == NULL) peer_start(w, wait_for_it);
}

static void acquire_and_be_wanted(struct step_world *w) {
  acquire_in_warmth(w);
  peer_ask(w);
}

/* The sleeper has the lock in any case: given, or abandoned. Between the two stores of a release
** it is free, and nobody was woken. */
static void settle_wanted(struct step_world *w) {
  intptr_t said = w->shared->note[0];
  int r = peer_answer(w);
  CHECK(r == 0 || r == MP_ABANDONED);
  if (said == ACQUIRED) CHECK_EQ(r, MP_ABANDONED);
  if (said == RELEASED) CHECK_EQ(r, 0);
}

static void judge_free(struct step_world *w, bool done) {
  if (done) CHECK_EQ(w->shared->note[0], RELEASED);
  CHECK_EQ(take_and_give(w->object), 0);
}

LONG_TEST(kill_in_a_release_that_wakes, 100) {
  step_through(&(struct step_case){"lock release that wakes", prepare_wanted, acquire_and_be_wanted,
                                   release, judge_free, settle_wanted});
}
