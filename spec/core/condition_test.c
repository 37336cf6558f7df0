/* Conditions, between real processes, some of which are killed. */
#include "sync.h"

struct pair {
  mp_lock *lock;
  mp_condition *n;
};

static struct pair make(struct mp_context *c, bool recursive) {
  struct pair p;
  CHECK_EQ(recursive ? mp_rlock_new(c, &p.lock) : mp_lock_new(c, &p.lock), 0);
  CHECK_EQ(mp_condition_new(c, p.lock, &p.n), 0);
  return p;
}

TEST(it_is_for_those_who_hold_the_lock) {
  struct mp_context *c = sync_context();
  struct pair p = make(c, false);
  mp_event *e;
  mp_condition *n;
  int abandoned;
  CHECK_EQ(mp_condition_notify(p.n, p.lock, 1), MP_NOT_OWNER);
  CHECK_EQ(mp_condition_wait(p.n, p.lock, MP_NOW, &abandoned), MP_NOT_OWNER);
  CHECK_EQ(mp_event_new(c, &e), 0);
  CHECK_EQ(mp_condition_new(c, e, &n), -EINVAL);
  sync_check(c);
  mp_context_close(c);
}

TEST(the_lock_lives_as_long_as_the_condition) {
  struct mp_context *c = sync_context(), *d = sync_context();
  struct pair p = make(c, true);
  mp_condition *n;
  mp_lock *l;
  int abandoned;
  CHECK_EQ(mp_condition_open(d, mp_handle_ticket(p.n), &n), 0);
  CHECK(mp_lock_close(p.lock) == NULL);
  CHECK(mp_condition_close(p.n) == NULL);
  sync_check(d);
  CHECK_EQ(mp_condition_lock(n, &l), 0);
  CHECK_EQ(mp_rlock_acquire(l, MP_NOW), 0);
  CHECK_EQ(mp_condition_wait(n, l, MP_NOW, &abandoned), MP_TIMEOUT);
  CHECK_EQ(mp_rlock_release(l), 0);
  mp_lock_close(l);
  mp_condition_close(n);
  sync_check(d);
  uint32_t count[MP_KINDS];
  mp_object_counts(d, count);
  CHECK_EQ(count[MP_KIND_RLOCK] + count[MP_KIND_CONDITION], 0);
  mp_context_close(c);
  mp_context_close(d);
}

TEST(a_timeout_gives_the_lock_back_as_deep_as_it_was) {
  struct mp_context *c = sync_context();
  struct pair p = make(c, true);
  int abandoned = 1;
  for (int i = 0; i < 3; i++) CHECK_EQ(mp_rlock_acquire(p.lock, MP_NOW), 0);
  double start = test_now();
  CHECK_EQ(mp_condition_wait(p.n, p.lock, mp_in(0.1), &abandoned), MP_TIMEOUT);
  CHECK_TOOK(test_now() - start, 0.1);
  CHECK_EQ(abandoned, 0);
  sync_check(c);
  for (int i = 0; i < 3; i++) CHECK_EQ(mp_rlock_release(p.lock), 0);
  CHECK_EQ(mp_lock_locked(p.lock), 0);
  mp_context_close(c);
}

static int yes(void *arg) {
  (void)arg;
  return 1;
}

TEST(a_signal_interrupts_a_wait_under_the_lock) {
  struct mp_context *c = sync_context();
  struct pair p = make(c, false);
  int abandoned;
  CHECK_EQ(mp_lock_acquire(p.lock, MP_NOW), 0);
  c->interrupted = yes;
  CHECK_EQ(mp_condition_wait(p.n, p.lock, MP_FOREVER, &abandoned), MP_INTERRUPTED);
  CHECK_EQ(mp_lock_mine(p.lock), 1);
  CHECK_EQ(mp_condition_notify(p.n, p.lock, 1), 0); /* nobody is there */
  sync_check(c);
  mp_context_close(c);
}

enum { WAITERS = 5 };

/* A child that waits, and writes on the board in which place it was woken: board[2 + i]. */
static int start_waiter(struct mp_context *c, struct pair p, volatile long *board, int i) {
  int pid, abandoned;
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_lock_acquire(p.lock, MP_FOREVER), 0);
    board[1] = board[1] + 1;
    CHECK_EQ(mp_condition_wait(p.n, p.lock, MP_FOREVER, &abandoned), 0);
    CHECK_EQ(mp_lock_mine(p.lock), 1);
    board[0] = board[0] + 1;
    board[2 + i] = board[0];
    CHECK_EQ(mp_lock_release(p.lock), 0);
    sync_exit();
  }
  sync_await(&board[1], i + 1);
  sync_await_sleep(pid);
  return pid;
}

static void notify(struct pair p, uint32_t many) {
  CHECK_EQ(mp_lock_acquire(p.lock, MP_FOREVER), 0);
  CHECK_EQ(mp_condition_notify(p.n, p.lock, many), 0);
  CHECK_EQ(mp_lock_release(p.lock), 0);
}

TEST(notify_wakes_exactly_n_and_the_first_ones) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, false);
  int pid[WAITERS];
  for (int i = 0; i < WAITERS; i++) pid[i] = start_waiter(c, p, board, i);
  double start = test_now();
  notify(p, 1);
  sync_await(board, 1);
  CHECK(test_now() - start < 0.1 * test_slow());
  CHECK_EQ(board[2], 1);
  notify(p, 2);
  sync_await(board, 3);
  CHECK(board[3] != 0 && board[4] != 0);
  test_sleep(0.1);
  CHECK_EQ(board[0], 3);
  notify(p, UINT32_MAX);
  sync_await(board, WAITERS);
  for (int i = 0; i < WAITERS; i++) sync_join(pid[i]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_dead_waiter_is_not_counted_once_it_is_known) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, false);
  int pid[WAITERS];
  for (int i = 0; i < WAITERS; i++) pid[i] = start_waiter(c, p, board, i);
  sync_kill(pid[0]);
  sync_kill(pid[2]);
  mp_context_tend(c, true);
  sync_check(c);
  notify(p, 2);
  sync_await(board, 2);
  CHECK(board[2 + 1] != 0 && board[2 + 3] != 0);
  notify(p, 1);
  sync_await(board, 3);
  sync_join(pid[1]);
  sync_join(pid[3]);
  sync_join(pid[4]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_waiter_that_dies_after_it_was_notified_passes_it_on) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, false);
  int pid[3];
  for (int i = 0; i < 3; i++) pid[i] = start_waiter(c, p, board, i);
  CHECK_EQ(kill(pid[0], SIGSTOP), 0); /* it never gets to its lock */
  notify(p, 1);
  sync_kill(pid[0]);
  sync_await(board, 1); /* a sleeper finds out by itself */
  CHECK_EQ(board[3], 1);
  test_sleep(0.05);
  CHECK_EQ(board[0], 1);
  notify(p, 1);
  sync_join(pid[1]);
  sync_join(pid[2]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(who_dies_with_the_lock_does_not_keep_a_waiter_from_it) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, true);
  int pid, abandoned = 0;
  CHECK_EQ(mp_rlock_acquire(p.lock, MP_NOW), 0);
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_rlock_acquire(p.lock, MP_FOREVER), 0);
    CHECK_EQ(mp_condition_notify(p.n, p.lock, 1), 0);
    kill(getpid(), SIGKILL);
  }
  double start = test_now();
  CHECK_EQ(mp_condition_wait(p.n, p.lock, MP_FOREVER, &abandoned), 0);
  CHECK(test_now() - start < 1 * test_slow());
  CHECK_EQ(abandoned, 1);
  CHECK_EQ(mp_lock_mine(p.lock), 1);
  waitpid(pid, NULL, 0);
  (void)board;
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

/* A bounded buffer of one: each message gets through once, in order, with two on each side. */
static void produce(struct pair p, struct pair full, volatile long *board, int n) {
  int abandoned;
  for (int i = 0; i < n; i++) {
    CHECK_EQ(mp_lock_acquire(p.lock, MP_FOREVER), 0);
    while (board[0] != 0) CHECK_EQ(mp_condition_wait(full.n, p.lock, MP_FOREVER, &abandoned), 0);
    board[0] = 1;
    CHECK_EQ(mp_condition_notify(p.n, p.lock, 1), 0);
    CHECK_EQ(mp_lock_release(p.lock), 0);
  }
}

static void consume(struct pair p, struct pair full, volatile long *board, int n) {
  int abandoned;
  for (int i = 0; i < n; i++) {
    CHECK_EQ(mp_lock_acquire(p.lock, MP_FOREVER), 0);
    while (board[0] == 0) CHECK_EQ(mp_condition_wait(p.n, p.lock, MP_FOREVER, &abandoned), 0);
    board[0] = 0;
    board[1] = board[1] + 1;
    CHECK_EQ(mp_condition_notify(full.n, p.lock, 1), 0);
    CHECK_EQ(mp_lock_release(p.lock), 0);
  }
}

TEST(no_notification_is_lost) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, false), full;
  int pid[4];
  full.lock = p.lock;
  CHECK_EQ(mp_condition_new(c, p.lock, &full.n), 0);
  for (int i = 0; i < 4; i++) {
    if (sync_fork(c, &pid[i])) {
      i < 2 ? produce(p, full, board, 3000) : consume(p, full, board, 3000);
      sync_exit();
    }
  }
  for (int i = 0; i < 4; i++) sync_join(pid[i]);
  CHECK_EQ(board[1], 6000);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

/* Waiters that time out at the very moment of the notification neither lose nor double it. */
TEST(a_race_of_timeout_and_notify_is_decided_once) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct pair p = make(c, false);
  int pid[2], abandoned;
  for (int i = 0; i < 2; i++) {
    if (sync_fork(c, &pid[i])) {
      while (board[1] == 0) {
        CHECK_EQ(mp_lock_acquire(p.lock, MP_FOREVER), 0);
        int r = mp_condition_wait(p.n, p.lock, mp_in(0.0002), &abandoned);
        if (r == 0) board[0] = board[0] + 1;
        CHECK_EQ(mp_lock_release(p.lock), 0);
      }
      sync_exit();
    }
  }
  for (int i = 0; i < 2000; i++) notify(p, 1);
  test_sleep(0.01);
  board[1] = 1;
  for (int i = 0; i < 2; i++) sync_join(pid[i]);
  CHECK(board[0] <= 2000);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}
