/* Lock and RLock, and whoever dies in the middle of them. */
#include "../../src/core/sync.h"
#include "crash.h"

/* ---- the worlds: the victim has a handle, the other too, the extra one may sleep ---- */

static void prepare_kind(struct crash_world *w, bool recursive) {
  CHECK_EQ(recursive ? mp_rlock_new(w->other, &w->theirs) : mp_lock_new(w->other, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
}

static void prepare_lock(struct crash_world *w) {
  prepare_kind(w, false);
}

static void prepare_rlock(struct crash_world *w) {
  prepare_kind(w, true);
}

static void prepare_taken(struct crash_world *w) {
  prepare_kind(w, false);
  CHECK_EQ(mp_lock_acquire(w->theirs, MP_NOW), 0);
}

/* The victim has it, and somebody has slept for it. */
static void prepare_wanted(struct crash_world *w) {
  prepare_kind(w, false);
  struct mp_handle *third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_lock_acquire(w->mine, MP_NOW), 0);
  CHECK_EQ(mp_lock_acquire(third, CRASH_NAP), MP_TIMEOUT);
}

/* The word is abandoned: somebody died with it before. */
static void prepare_abandoned(struct crash_world *w) {
  prepare_kind(w, false);
  struct mp_context *before = crash_context();
  mp_lock *l;
  CHECK_EQ(mp_lock_open(before, mp_handle_ticket(w->theirs), &l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), 0);
  mp_context_close(before);
}

static void prepare_rlock_taken(struct crash_world *w) {
  prepare_kind(w, true);
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_rlock_acquire(w->theirs, MP_NOW), 0);
}

static void prepare_rlock_wanted(struct crash_world *w) {
  prepare_kind(w, true);
  struct mp_handle *third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_rlock_acquire(w->mine, MP_NOW), 0);
  CHECK_EQ(mp_rlock_acquire(third, CRASH_NAP), MP_TIMEOUT);
}

/* The other one has it, and gives it back while the victim naps. */
static struct crash_world *world;

static void give_back(struct crash_world *w) {
  if (mp_lock_mine(w->theirs)) CHECK_EQ(mp_lock_release(w->theirs), 0);
}

static void give_back_aside(struct mp_context *c) {
  (void)c;
  crash_aside(give_back, world);
}

static void prepare_given_back(struct crash_world *w) {
  prepare_taken(w);
  world = w;
  w->victim->tend = give_back_aside;
}

static void prepare_held(struct crash_world *w) {
  prepare_kind(w, false);
  CHECK_EQ(mp_lock_acquire(w->mine, MP_NOW), 0);
}

/* The victim believes that it has it. */
static void prepare_taken_away(struct crash_world *w) {
  prepare_held(w);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
}

static void prepare_theirs_alone(struct crash_world *w) {
  CHECK_EQ(mp_lock_new(w->other, &w->theirs), 0);
}

/* ---- what the victim does ---- */

static int wait_and_get(struct crash_world *w, struct mp_context *c) {
  (void)c;
  int r = mp_lock_acquire(w->mine, CRASH_NAP);
  return r == 0 ? mp_lock_release(w->mine) : r;
}

static int take_and_return(struct crash_world *w, struct mp_context *c) {
  (void)c;
  int r = mp_lock_acquire(w->mine, MP_NOW);
  if (r == MP_ABANDONED) mp_lock_return(w->mine);
  return r;
}

static int close_it(struct crash_world *w, struct mp_context *c) {
  (void)c;
  w->mine = mp_lock_close(w->mine);
  return 0;
}

static int open_as_another_kind(struct crash_world *w, struct mp_context *c) {
  return mp_rlock_open(c, mp_handle_ticket(w->theirs), &w->mine);
}

static int make(struct crash_world *w, struct mp_context *c) {
  mp_lock *l;
  (void)w;
  int r = mp_lock_new(c, &l);
  if (r == 0) mp_lock_close(l);
  return r;
}

static int acquire(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_lock_acquire(w->mine, MP_NOW);
}

static int acquire_release(struct crash_world *w, struct mp_context *c) {
  (void)c;
  int r = mp_lock_acquire(w->mine, MP_NOW);
  return r == 0 || r == MP_ABANDONED ? mp_lock_release(w->mine) : r;
}

/* In vain: the other has it. The deadline lets it sleep a little. */
static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_lock_acquire(w->mine, CRASH_NAP);
}

static int release_it(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_lock_release(w->mine);
}

static int rlock_in_and_out(struct crash_world *w, struct mp_context *c) {
  (void)c;
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_rlock_acquire(w->mine, MP_NOW), 0);
  CHECK_EQ(mp_rlock_release(w->mine), 0);
  return mp_rlock_release(w->mine);
}

static int suspend_resume(struct crash_world *w, struct mp_context *c) {
  uint32_t depth;
  (void)c;
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_rlock_acquire(w->mine, MP_NOW), 0);
  CHECK_EQ(mp_lock_suspend(w->mine, &depth), 0);
  CHECK_EQ(depth, 2);
  CHECK_EQ(mp_lock_resume(w->mine, depth), 0);
  CHECK_EQ(mp_rlock_release(w->mine), 0);
  return mp_rlock_release(w->mine);
}

/* ---- what must be true afterwards ---- */

static void judge_usable(struct crash_world *w, bool done) {
  (void)done;
  int r = mp_lock_acquire(w->theirs, MP_NOW);
  CHECK(r == 0 || r == MP_ABANDONED);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  CHECK_EQ(mp_lock_acquire(w->theirs, MP_NOW), 0);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
}

static void judge_nothing_left(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  (void)done;
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_LOCK], 0);
}

/* Returned with the lock and died: abandoned. Died before: one or the other. */
static void judge_abandoned(struct crash_world *w, bool done) {
  int pid, code, r = mp_lock_acquire(w->theirs, MP_NOW);
  if (done) CHECK_EQ(r, MP_ABANDONED);
  CHECK_EQ(r == MP_ABANDONED, mp_lock_abandoned(w->theirs, &pid, &code) == 0);
  if (r == MP_ABANDONED) CHECK_EQ(pid, getpid());
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  judge_usable(w, done);
}

/* The word was abandoned: however often takers die, somebody is told. */
static void judge_told(struct crash_world *w, bool done) {
  if (done && w->result == 0)
    CHECK_EQ(mp_lock_acquire(w->theirs, MP_NOW), 0); /* the victim was told, and gave it back */
  else
    CHECK(mp_lock_acquire(w->theirs, MP_NOW) >= 0);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_theirs(struct crash_world *w, bool done) {
  CHECK_EQ(mp_lock_mine(w->theirs), 1);
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_told_still(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_ABANDONED);
  CHECK_EQ(mp_lock_acquire(w->theirs, MP_NOW), MP_ABANDONED);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_rlock_theirs(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_rlock_release(w->theirs), 0);
  CHECK_EQ(mp_lock_mine(w->theirs), 1);
  CHECK_EQ(mp_rlock_release(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_died_with_it(struct crash_world *w, bool done) {
  CHECK_EQ(mp_lock_acquire(w->theirs, MP_NOW), MP_ABANDONED);
  CHECK_EQ(mp_lock_release(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_got(struct crash_world *w, bool done) {
  CHECK(!done || w->result == 0);
  if (mp_lock_mine(w->theirs)) CHECK_EQ(mp_lock_release(w->theirs), 0); /* died before it napped */
  judge_usable(w, done);
}

static void judge_not_opened(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_FOREIGN);
  CHECK_EQ(w32_get(&w->theirs->object->holders), 1);
  judge_usable(w, done);
}

/* Either the other still holds it, or it was released for good. */
static void judge_released(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(mp_lock_locked(w->theirs), 0);
  if (mp_lock_locked(w->theirs)) {
    CHECK_EQ(mp_lock_mine(w->theirs), 1);
    CHECK_EQ(mp_lock_release(w->theirs), 0);
  }
  judge_usable(w, done);
}

#define CRASH_TEST(name, prepare, operation, judge)                                   \
  LONG_TEST(name, 120) {                                                              \
    crash_enumerate(&(struct crash_case){"lock: " #name, prepare, operation, judge}); \
  }

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

CRASH_TEST(a_death_in_new_and_close, prepare_nothing, make, judge_nothing_left)
CRASH_TEST(a_death_in_acquire, prepare_lock, acquire, judge_abandoned)
CRASH_TEST(a_death_in_release, prepare_lock, acquire_release, judge_usable)
CRASH_TEST(a_death_in_acquire_of_an_abandoned_one, prepare_abandoned, acquire_release, judge_told)
CRASH_TEST(a_death_in_a_wait, prepare_taken, wait_in_vain, judge_theirs)
CRASH_TEST(a_death_in_a_foreign_release, prepare_taken, release_it, judge_released)
CRASH_TEST(a_death_in_a_release_that_wakes, prepare_wanted, release_it, judge_usable)
CRASH_TEST(a_death_in_an_rlock, prepare_rlock, rlock_in_and_out, judge_usable)
CRASH_TEST(a_death_in_suspend_and_resume, prepare_rlock, suspend_resume, judge_usable)
CRASH_TEST(a_death_in_a_wait_that_succeeds, prepare_given_back, wait_and_get, judge_got)
CRASH_TEST(a_death_in_returning_an_abandoned_one, prepare_abandoned, take_and_return,
           judge_told_still)
CRASH_TEST(a_death_in_closing_one_that_is_held, prepare_held, close_it, judge_died_with_it)
CRASH_TEST(a_death_in_closing_one_that_was_released, prepare_taken_away, close_it, judge_usable)
CRASH_TEST(a_death_in_opening_another_kind, prepare_theirs_alone, open_as_another_kind,
           judge_not_opened)
CRASH_TEST(a_death_in_a_wait_for_an_rlock, prepare_rlock_taken, wait_in_vain, judge_rlock_theirs)
CRASH_TEST(a_death_in_an_rlocks_release_that_wakes, prepare_rlock_wanted, release_it, judge_usable)
