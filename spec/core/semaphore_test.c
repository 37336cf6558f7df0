/* Semaphores, plain and with an account, between real processes, some of which are killed. */
#include "sync.h"

static mp_semaphore *make(struct mp_context *c, unsigned value, unsigned flags) {
  mp_semaphore *s;
  mp_semaphore_options o = {value, flags};
  CHECK_EQ(mp_semaphore_new(c, &o, &s), 0);
  return s;
}

static void counts_down_and_up(unsigned flags) {
  struct mp_context *c = sync_context();
  mp_semaphore *s = make(c, 3, flags);
  for (unsigned i = 0; i < 3; i++) {
    CHECK_EQ(mp_semaphore_value(s), 3 - i);
    CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
    sync_check(c);
  }
  CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), MP_TIMEOUT);
  double start = test_now();
  CHECK_EQ(mp_semaphore_acquire(s, mp_in(0.1)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - start, 0.1);
  for (unsigned i = 0; i < 3; i++) CHECK_EQ(mp_semaphore_release(s), 0);
  CHECK_EQ(mp_semaphore_value(s), 3);
  sync_check(c);
  CHECK_EQ(mp_semaphore_release(s), flags & MP_SEMAPHORE_BOUNDED ? MP_LIMIT : 0);
  sync_check(c);
  CHECK(mp_semaphore_close(s) == NULL);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_plain_one_counts) {
  counts_down_and_up(0);
}
TEST(a_bounded_one_counts_and_has_a_bound) {
  counts_down_and_up(MP_SEMAPHORE_BOUNDED);
}
TEST(one_with_undo_counts) {
  counts_down_and_up(MP_SEMAPHORE_UNDO);
}

TEST(what_makes_no_sense_is_refused) {
  struct mp_context *c = sync_context();
  mp_semaphore *s;
  CHECK_EQ(mp_semaphore_new(c, &(mp_semaphore_options){MP_SEMAPHORE_MAX + 1u, 0}, &s), -EINVAL);
  CHECK_EQ(mp_semaphore_new(c, &(mp_semaphore_options){1, 64}, &s), -EINVAL);
  s = make(c, MP_SEMAPHORE_MAX, 0);
  CHECK_EQ(mp_semaphore_release(s), MP_LIMIT);
  mp_context_close(c);
}

static int yes(void *arg) {
  (void)arg;
  return 1;
}

TEST(a_signal_interrupts_a_wait) {
  struct mp_context *c = sync_context();
  mp_semaphore *s = make(c, 0, 0);
  c->interrupted = yes;
  CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), MP_INTERRUPTED);
  CHECK_EQ(mp_semaphore_value(s), 0);
  mp_context_close(c);
}

/* Many processes pass units on; none is lost or made. */
static void conserves_units(unsigned flags) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_semaphore *s = make(c, 2, flags);
  int pid[4];
  for (int i = 0; i < 4; i++) {
    if (sync_fork(c, &pid[i])) {
      for (int k = 0; k < 20000; k++) {
        CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
        sync_add(&board[0], 1);
        CHECK(board[0] <= 2);
        sync_add(&board[0], -1);
        CHECK_EQ(mp_semaphore_release(s), 0);
      }
      sync_exit();
    }
  }
  for (int i = 0; i < 4; i++) sync_join(pid[i]);
  CHECK_EQ(mp_semaphore_value(s), 2);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(no_more_than_its_value_get_in) {
  conserves_units(0);
}
TEST(no_more_than_its_bound_get_in) {
  conserves_units(MP_SEMAPHORE_BOUNDED);
}

TEST(a_sleeper_is_woken_by_a_release) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_semaphore *s = make(c, 0, 0);
  int pid;
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
    board[0] = 1;
    sync_exit();
  }
  sync_await_sleep(pid);
  test_sleep(0.7);
  double start = test_now();
  CHECK_EQ(mp_semaphore_release(s), 0);
  while (board[0] == 0 && test_now() - start < 1) {}
  CHECK(test_now() - start < 0.1 * test_slow());
  sync_join(pid);
  mp_context_close(c);
}

/* A child takes two of three units and is killed. */
static void two_units_die(struct mp_context *c, mp_semaphore *s) {
  volatile long *board = sync_board();
  int pid;
  if (sync_fork(c, &pid)) {
    for (int i = 0; i < 2; i++) CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
    board[0] = 1;
    for (;;) pause();
  }
  sync_await(board, 1);
  CHECK_EQ(mp_semaphore_value(s), 1);
  sync_kill(pid);
}

TEST(the_units_of_the_dead_come_back_where_they_are_accounted_for) {
  struct mp_context *c = sync_context();
  static const unsigned kind[] = {MP_SEMAPHORE_BOUNDED, MP_SEMAPHORE_UNDO, 0};
  for (int i = 0; i < 3; i++) {
    mp_semaphore *s = make(c, 3, kind[i]);
    two_units_die(c, s);
    mp_context_tend(c, true);
    CHECK_EQ(mp_semaphore_value(s), kind[i] != 0 ? 3 : 1);
    sync_check(c);
    mp_semaphore_close(s);
  }
  mp_context_close(c);
}

TEST(a_sleeper_gets_a_dead_ones_unit) {
  struct mp_context *c = sync_context();
  mp_semaphore *s = make(c, 3, MP_SEMAPHORE_BOUNDED);
  two_units_die(c, s);
  double start = test_now();
  for (int i = 0; i < 3; i++) CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
  CHECK(test_now() - start < 1 * test_slow());
  sync_check(c);
  mp_context_close(c);
}

TEST(a_unit_given_by_one_that_has_none_is_taken_off_the_oldest) {
  struct mp_context *c = sync_context(), *d = sync_context(), *e = sync_context();
  mp_semaphore *s = make(c, 3, MP_SEMAPHORE_BOUNDED), *t, *u;
  CHECK_EQ(mp_semaphore_open(d, mp_handle_ticket(s), &t), 0);
  CHECK_EQ(mp_semaphore_open(e, mp_handle_ticket(s), &u), 0);
  CHECK_EQ(mp_semaphore_acquire(t, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_acquire(t, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_release(u), 0); /* off d's two */
  CHECK_EQ(mp_semaphore_release(u), 0); /* off d's last one */
  sync_check(c);
  mp_context_close(d); /* nothing comes back: it has none */
  CHECK_EQ(mp_semaphore_value(s), 2);
  CHECK_EQ(mp_semaphore_release(u), 0); /* off c's */
  CHECK_EQ(mp_semaphore_release(u), MP_LIMIT);
  CHECK_EQ(mp_semaphore_release(s), MP_LIMIT);
  CHECK_EQ(mp_semaphore_acquire(u, MP_NOW), 0); /* into c's old place */
  CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), 0);
  sync_check(c);
  mp_context_close(e);
  CHECK_EQ(mp_semaphore_value(s), 2);
  mp_semaphore_close(s); /* holds one: the participant keeps the handle */
  sync_check(c);
  mp_context_close(c);
}

TEST(what_others_gave_back_does_not_keep_a_closed_handle) {
  struct mp_context *c = sync_context(), *d = sync_context();
  mp_semaphore *s = make(c, 1, MP_SEMAPHORE_BOUNDED), *t;
  CHECK_EQ(mp_semaphore_open(d, mp_handle_ticket(s), &t), 0);
  CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), 0);
  CHECK_EQ(mp_semaphore_release(t), 0);
  mp_semaphore_close(s);
  CHECK(mp_object_entry(c, t->object, c->tag) == NULL);
  sync_check(d);
  mp_context_close(c);
  mp_context_close(d);
}

TEST(any_number_of_processes_may_hold_units) {
  enum { MANY = 40 };
  struct mp_context *c = sync_context(), *other[MANY];
  mp_semaphore *s = make(c, MANY, MP_SEMAPHORE_BOUNDED), *theirs[MANY];
  for (int i = 0; i < MANY; i++) {
    other[i] = sync_context();
    CHECK_EQ(mp_semaphore_open(other[i], mp_handle_ticket(s), &theirs[i]), 0);
    CHECK_EQ(mp_semaphore_acquire(theirs[i], MP_NOW), 0);
    sync_check(c);
  }
  for (int i = 0; i < MANY; i += 2) CHECK_EQ(mp_semaphore_release(theirs[i]), 0);
  for (int i = 0; i < MANY; i++) mp_context_close(other[i]);
  CHECK_EQ(mp_semaphore_value(s), MANY);
  sync_check(c);
  mp_context_close(c);
}

/* Those who die at random moments cost a bounded semaphore nothing. */
LONG_TEST(random_kills_lose_no_unit, 60) {
  struct mp_context *c = sync_context();
  mp_semaphore *s = make(c, 2, MP_SEMAPHORE_BOUNDED);
  for (int round = 0; round < 60; round++) {
    int pid[3];
    for (int i = 0; i < 3; i++) {
      if (sync_fork(c, &pid[i])) {
        for (;;) {
          CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
          CHECK_EQ(mp_semaphore_release(s), 0);
        }
      }
    }
    test_sleep(0.001 * (round % 7));
    for (int i = 0; i < 3; i++) sync_kill(pid[i]);
    mp_context_tend(c, true);
    CHECK_EQ(mp_semaphore_value(s), 2);
    sync_check(c);
  }
  mp_context_close(c);
}
