/* Conditions, and whoever dies in the middle of them. */
#include "../../src/core/sync.h"
#include "crash.h"

static mp_lock *their_lock, *my_lock, *third_lock;
static struct mp_handle *third;

static void prepare(struct crash_world *w) {
  CHECK_EQ(mp_rlock_new(w->other, &their_lock), 0);
  CHECK_EQ(mp_condition_new(w->other, their_lock, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  CHECK_EQ(mp_condition_lock(w->mine, &my_lock), 0);
  third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_condition_lock(third, &third_lock), 0);
}

/* Puts a participant into the line as a wait does, and leaves it there, asleep for us. */
static _Thread_local jmp_buf asleep;

static int fall_asleep(void *arg) {
  (void)arg;
  longjmp(asleep, 1);
}

static void put_into_line(struct mp_context *c, struct mp_handle *h, mp_lock *lock) {
  int abandoned;
  CHECK_EQ(mp_rlock_acquire(lock, MP_NOW), 0);
  c->interrupted = fall_asleep;
  if (setjmp(asleep) == 0) CHECK_EQ(mp_condition_wait(h, lock, mp_in(5), &abandoned), -1);
  c->interrupted = NULL;
  CHECK(w32_get(&h->entry->held) == 1);
}

/* The extra one waits. */
static void prepare_awaited(struct crash_world *w) {
  prepare(w);
  put_into_line(w->extra, third, third_lock);
}

/* The victim waits, then the extra one. */
static void prepare_two(struct crash_world *w) {
  prepare(w);
  put_into_line(w->victim, w->mine, my_lock);
  put_into_line(w->extra, third, third_lock);
}

/* The same, and the victim is notified. */
static void prepare_notified(struct crash_world *w) {
  prepare_two(w);
  CHECK_EQ(mp_rlock_acquire(their_lock, MP_NOW), 0);
  CHECK_EQ(mp_condition_notify(w->theirs, their_lock, 1), 0);
  CHECK_EQ(mp_rlock_release(their_lock), 0);
}

/* The other one notifies while the victim naps. */
static struct crash_world *world;

static void notify_theirs(struct crash_world *w) {
  if (w->note[0]++ != 0) return;
  CHECK_EQ(mp_rlock_acquire(their_lock, MP_NOW), 0);
  CHECK_EQ(mp_condition_notify(w->theirs, their_lock, 1), 0);
  CHECK_EQ(mp_rlock_release(their_lock), 0);
}

static void notify_aside(struct mp_context *c) {
  (void)c;
  crash_aside(notify_theirs, world);
}

static void prepare_notified_in_time(struct crash_world *w) {
  prepare(w);
  world = w;
  w->victim->tend = notify_aside;
}

static int always(void *arg) {
  (void)arg;
  return 1;
}

static void prepare_interrupted(struct crash_world *w) {
  prepare(w);
  w->victim->interrupted = always;
}

/* Over a lock that is no RLock. */
static void prepare_plain(struct crash_world *w) {
  CHECK_EQ(mp_lock_new(w->other, &their_lock), 0);
  CHECK_EQ(mp_condition_new(w->other, their_lock, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  CHECK_EQ(mp_condition_lock(w->mine, &my_lock), 0);
}

/* The extra one and a fourth one wait. */
static struct mp_context *fourth;
static mp_condition *of_fourth;
static mp_lock *fourth_lock;

static void prepare_two_others(struct crash_world *w) {
  prepare_awaited(w);
  fourth = crash_context();
  of_fourth = crash_open(fourth, w->theirs);
  CHECK_EQ(mp_condition_lock(of_fourth, &fourth_lock), 0);
  put_into_line(fourth, of_fourth, fourth_lock);
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static int make(struct crash_world *w, struct mp_context *c) {
  mp_lock *l;
  mp_condition *n;
  (void)w;
  int r = mp_lock_new(c, &l);
  if (r == 0) r = mp_condition_new(c, l, &n);
  if (r == 0) mp_condition_close(n);
  mp_lock_close(l);
  return r;
}

static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  int abandoned;
  (void)c;
  CHECK_EQ(mp_rlock_acquire(my_lock, MP_NOW), 0);
  int r = mp_condition_wait(w->mine, my_lock, CRASH_NAP, &abandoned);
  CHECK_EQ(mp_rlock_release(my_lock), 0);
  return r;
}

static int notify_one(struct crash_world *w, struct mp_context *c) {
  (void)c;
  CHECK_EQ(mp_rlock_acquire(my_lock, MP_NOW), 0);
  CHECK_EQ(mp_condition_notify(w->mine, my_lock, 1), 0);
  return mp_rlock_release(my_lock);
}

static int notify_all(struct crash_world *w, struct mp_context *c) {
  (void)c;
  CHECK_EQ(mp_rlock_acquire(my_lock, MP_NOW), 0);
  CHECK_EQ(mp_condition_notify(w->mine, my_lock, UINT32_MAX), 0);
  return mp_rlock_release(my_lock);
}

static int wait_plain(struct crash_world *w, struct mp_context *c) {
  int abandoned;
  (void)c;
  CHECK_EQ(mp_lock_acquire(my_lock, MP_NOW), 0);
  int r = mp_condition_wait(w->mine, my_lock, CRASH_NAP, &abandoned);
  CHECK_EQ(mp_lock_release(my_lock), 0);
  return r;
}

static int open_lock(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_lock *again;
  my_lock = mp_handle_close(my_lock);
  int r = mp_condition_lock(w->mine, &again);
  if (r == 0) mp_handle_close(again);
  return r;
}

/* What is left of a wait once the sleeper has been woken. */
static int come_back(struct crash_world *w, struct mp_context *c) {
  (void)c;
  CHECK_EQ(mp_lock_resume(my_lock, 1), 0);
  return mp_condition_stand_down(w->mine) ? 0 : MP_TIMEOUT;
}

/* Dies in its sleep. */
static int nothing(struct crash_world *w, struct mp_context *c) {
  (void)w;
  (void)c;
  return 0;
}

static void judge_nothing_left(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  (void)done;
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_CONDITION] + count[MP_KIND_LOCK], 0);
}

static bool extra_is_notified(void) {
  return mp_condition_stand_down(third);
}

/* The lock can be had, waited under and notified under. */
static void judge_usable(struct crash_world *w, bool done) {
  int abandoned, r = mp_rlock_acquire(their_lock, MP_NOW);
  (void)done;
  CHECK(r == 0 || r == MP_ABANDONED);
  CHECK_EQ(mp_condition_wait(w->theirs, their_lock, MP_NOW, &abandoned), MP_TIMEOUT);
  CHECK_EQ(mp_condition_notify(w->theirs, their_lock, UINT32_MAX), 0);
  CHECK_EQ(mp_rlock_release(their_lock), 0);
  CHECK_EQ(mp_lock_locked(their_lock), 0);
}

/* The notification was made or was not; if notify returned, it was. */
static void judge_notify(struct crash_world *w, bool done) {
  bool notified = extra_is_notified();
  CHECK(notified || !done);
  judge_usable(w, done);
}

/* All, or nobody. */
static void judge_notify_all(struct crash_world *w, bool done) {
  bool notified = extra_is_notified();
  CHECK_EQ(mp_condition_stand_down(of_fourth), notified);
  CHECK(notified || !done);
  mp_context_close(fourth);
  judge_usable(w, done);
}

static void judge_notified(struct crash_world *w, bool done) {
  CHECK(!done || w->result == 0);
  judge_usable(w, done);
}

static void judge_interrupted(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_INTERRUPTED);
  CHECK_EQ(mp_condition_waiting(w->theirs), 0);
  judge_usable(w, done);
}

static void judge_plain(struct crash_world *w, bool done) {
  int abandoned, r = mp_lock_acquire(their_lock, MP_NOW);
  CHECK(r == 0 || (r == MP_ABANDONED && !done));
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_condition_wait(w->theirs, their_lock, MP_NOW, &abandoned), MP_TIMEOUT);
  CHECK_EQ(mp_lock_release(their_lock), 0);
}

/* Nobody was notified, so the extra one was not either; the victim's place is gone. */
static void judge_sleeper(struct crash_world *w, bool done) {
  CHECK(!extra_is_notified());
  judge_usable(w, done);
}

/* One of the two has the notification: the victim, if it had left the line with it. */
static void judge_passed_on(struct crash_world *w, bool done) {
  bool inherited = extra_is_notified();
  CHECK(!done || (w->result == 0 && !inherited));
  judge_usable(w, done);
}

/* Died in its sleep, so the extra one has it. */
static void judge_inherited(struct crash_world *w, bool done) {
  CHECK(extra_is_notified());
  judge_usable(w, done);
}

#define CRASH_TEST(name, prepare, operation, judge)                                   \
  LONG_TEST(name, 120) {                                                              \
    crash_enumerate(&(struct crash_case){"condition: " #name, prepare, operation, judge}); \
  }

CRASH_TEST(a_death_in_new_and_close, prepare_nothing, make, judge_nothing_left)
CRASH_TEST(a_death_in_a_wait, prepare, wait_in_vain, judge_usable)
CRASH_TEST(a_death_in_notify, prepare_awaited, notify_one, judge_notify)
CRASH_TEST(a_death_in_the_sleep, prepare_two, nothing, judge_sleeper)
CRASH_TEST(a_death_in_the_sleep_when_notified, prepare_notified, nothing, judge_inherited)
CRASH_TEST(a_death_on_the_way_back, prepare_notified, come_back, judge_passed_on)
CRASH_TEST(a_death_in_notify_all, prepare_two_others, notify_all, judge_notify_all)
CRASH_TEST(a_death_in_a_wait_that_succeeds, prepare_notified_in_time, wait_in_vain, judge_notified)
CRASH_TEST(a_death_in_an_interrupted_wait, prepare_interrupted, wait_in_vain, judge_interrupted)
CRASH_TEST(a_death_in_a_wait_over_a_plain_lock, prepare_plain, wait_plain, judge_plain)
CRASH_TEST(a_death_in_opening_the_lock, prepare, open_lock, judge_usable)
