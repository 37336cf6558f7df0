/* Lock and RLock, between real processes, some of which are killed. */
#include "sync.h"

static int always(void *arg) {
  return *(int *)arg;
}

TEST(a_lock_is_free_taken_and_free_again) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  int pid, code;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_lock_locked(l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  CHECK_EQ(mp_lock_locked(l), 1);
  CHECK_EQ(mp_lock_mine(l), 1);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), MP_TIMEOUT);
  CHECK_EQ(mp_lock_mine(l), 1);
  sync_check(c);
  CHECK_EQ(mp_lock_release(l), 0);
  CHECK_EQ(mp_lock_release(l), MP_LIMIT);
  CHECK_EQ(mp_lock_abandoned(l, &pid, &code), MP_EMPTY);
  sync_check(c);
  CHECK(mp_lock_close(l) == NULL);
  CHECK(mp_lock_close(NULL) == NULL);
  mp_context_close(c);
}

TEST(a_timeout_is_kept_and_changes_nothing) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  double start = test_now();
  CHECK_EQ(mp_lock_acquire(l, mp_in(0.1)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - start, 0.1);
  CHECK_EQ(mp_lock_mine(l), 1);
  sync_check(c);
  CHECK_EQ(mp_lock_release(l), 0);
  mp_context_close(c);
}

TEST(a_signal_interrupts_a_wait) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  int yes = 1;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  c->interrupted = always;
  c->interrupted_arg = &yes;
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), MP_INTERRUPTED); /* after the first nap */
  sync_check(c);
  CHECK_EQ(mp_lock_release(l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  mp_context_close(c);
}

TEST(an_rlock_counts_and_belongs_to_its_holder) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  int pid;
  CHECK_EQ(mp_rlock_new(c, &l), 0);
  CHECK_EQ(mp_rlock_release(l), MP_NOT_OWNER);
  for (int i = 0; i < 3; i++) CHECK_EQ(mp_rlock_acquire(l, MP_NOW), 0);
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_lock_mine(l), 0);
    CHECK_EQ(mp_lock_locked(l), 1);
    CHECK_EQ(mp_rlock_release(l), MP_NOT_OWNER);
    CHECK_EQ(mp_rlock_acquire(l, MP_NOW), MP_TIMEOUT);
    sync_exit();
  }
  sync_join(pid);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(mp_lock_mine(l), 1);
    CHECK_EQ(mp_rlock_release(l), 0);
  }
  CHECK_EQ(mp_lock_locked(l), 0);
  CHECK_EQ(mp_rlock_release(l), MP_NOT_OWNER);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_ticket_opens_the_same_lock_and_no_other_kind) {
  struct mp_context *c = sync_context(), *d = sync_context();
  mp_lock *l, *m;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_rlock_open(d, mp_handle_ticket(l), &m), MP_FOREIGN);
  CHECK_EQ(mp_lock_open(d, (mp_ticket){{12345, 6}}, &m), MP_FOREIGN);
  CHECK_EQ(mp_lock_open(d, mp_handle_ticket(l), &m), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), 0);
  CHECK_EQ(mp_lock_acquire(m, MP_NOW), MP_TIMEOUT);
  CHECK_EQ(mp_lock_release(m), 0); /* a Lock may be released by anybody */
  CHECK_EQ(mp_lock_acquire(m, MP_NOW), 0);
  mp_lock_close(l); /* what d released is not held by c any more: the handle goes */
  CHECK(mp_object_entry(c, m->object, c->tag) == NULL);
  sync_check(d);
  mp_context_close(c);
  mp_context_close(d);
}

static void add_often(struct mp_context *c, mp_lock *l, volatile long *board, int how_often) {
  (void)c;
  for (int i = 0; i < how_often; i++) {
    CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
    board[0] = board[0] + 1;
    CHECK_EQ(mp_lock_release(l), 0);
  }
}

TEST(processes_exclude_each_other) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  int pid[4];
  CHECK_EQ(mp_lock_new(c, &l), 0);
  for (int i = 0; i < 4; i++) {
    if (sync_fork(c, &pid[i])) {
      add_often(c, l, board, 200000);
      sync_exit();
    }
  }
  for (int i = 0; i < 4; i++) sync_join(pid[i]);
  CHECK_EQ(board[0], 800000);
  CHECK_EQ(mp_lock_locked(l), 0);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_sleeper_is_woken_by_a_release) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  int pid;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
    board[0] = 1;
    CHECK_EQ(mp_lock_release(l), 0);
    sync_exit();
  }
  sync_await_sleep(pid);
  test_sleep(0.7); /* its naps are long by now */
  double start = test_now();
  CHECK_EQ(mp_lock_release(l), 0);
  while (board[0] == 0 && test_now() - start < 1) {}
  CHECK(test_now() - start < 0.1 * test_slow());
  sync_join(pid);
  mp_context_close(c);
}

/* A child takes the lock, `how` often, and is killed with it. Gives its pid. */
static int killed_holder(struct mp_context *c, mp_lock *l, int how_often, bool reaped) {
  volatile long *board = sync_board();
  int pid;
  if (sync_fork(c, &pid)) {
    int (*take)(mp_lock *, mp_deadline) = how_often > 1 ? mp_rlock_acquire : mp_lock_acquire;
    for (int i = 0; i < how_often; i++) CHECK_EQ(take(l, MP_FOREVER), 0);
    board[0] = 1;
    for (;;) pause();
  }
  sync_await(board, 1);
  if (reaped)
    sync_kill(pid);
  else
    CHECK_EQ(kill(pid, SIGKILL), 0);
  return pid;
}

TEST(who_holds_it_and_is_killed_gives_it_up) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  int pid, code;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  int dead = killed_holder(c, l, 1, true);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), MP_ABANDONED); /* even without waiting */
  CHECK_EQ(mp_lock_mine(l), 1);
  CHECK_EQ(mp_lock_abandoned(l, &pid, &code), 0);
  CHECK_EQ(pid, dead);
  CHECK_EQ(code, MP_EXIT_UNKNOWN);
  CHECK_EQ(mp_lock_release(l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_NOW), 0);
  CHECK_EQ(mp_lock_release(l), 0);
  mp_context_tend(c, true);
  sync_check(c);
  CHECK_EQ(mp_lock_abandoned(l, &pid, &code), 0); /* still */
  mp_context_close(c);
}

TEST(the_depth_of_an_rlock_dies_with_its_holder) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  CHECK_EQ(mp_rlock_new(c, &l), 0);
  (void)killed_holder(c, l, 5, true);
  mp_context_tend(c, true);
  CHECK_EQ(mp_lock_locked(l), 0);
  CHECK_EQ(mp_rlock_acquire(l, MP_NOW), MP_ABANDONED);
  CHECK_EQ(mp_rlock_acquire(l, MP_NOW), 0);
  CHECK_EQ(mp_rlock_release(l), 0);
  CHECK_EQ(mp_rlock_release(l), 0);
  CHECK_EQ(mp_lock_locked(l), 0);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_sleeper_has_a_dead_holders_lock_within_a_second) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  int pid;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
    board[0] = 1;
    sync_await(board, 2);
    test_sleep(0.9); /* the naps of the other are at their longest */
    kill(getpid(), SIGKILL);
  }
  sync_await(board, 1);
  board[0] = 2;
  double start = test_now();
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), MP_ABANDONED);
  CHECK(test_now() - start - 0.9 < 0.6 * test_slow());
  waitpid(pid, NULL, 0);
  sync_check(c);
  mp_context_close(c);
}

/* Of two sleepers the one that is woken is killed (or was before): the other has the lock. */
TEST(a_killed_sleeper_does_not_keep_the_lock_from_the_next) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  int pid[2];
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
  for (int i = 0; i < 2; i++) {
    if (sync_fork(c, &pid[i])) {
      CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
      board[0] = 1;
      CHECK_EQ(mp_lock_release(l), 0);
      sync_exit();
    }
    sync_await_sleep(pid[i]);
  }
  CHECK_EQ(kill(pid[0], SIGSTOP), 0); /* the first in line gets the wake, and never runs again */
  CHECK_EQ(mp_lock_release(l), 0);
  sync_kill(pid[0]);
  double start = test_now();
  sync_await(board, 1);
  CHECK(test_now() - start < 0.6 * test_slow());
  sync_join(pid[1]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

/* Those who die at random moments never lock the others out. */
LONG_TEST(random_kills_harm_nobody, 60) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  for (int round = 0; round < 60; round++) {
    int pid[3];
    for (int i = 0; i < 3; i++) {
      if (sync_fork(c, &pid[i])) {
        for (;;) {
          int r = mp_lock_acquire(l, MP_FOREVER);
          CHECK(r == MP_ABANDONED || (r == 0 && board[1] == 0));
          board[1] = getpid();
          board[0] = board[0] + 1;
          board[1] = 0;
          CHECK_EQ(mp_lock_release(l), 0);
        }
      }
    }
    test_sleep(0.001 * (round % 7));
    for (int i = 0; i < 2; i++) sync_kill(pid[i]);
    int r = mp_lock_acquire(l, mp_in(5 * test_slow()));
    CHECK(r == 0 || r == MP_ABANDONED);
    CHECK(r == MP_ABANDONED || board[1] == 0);
    board[1] = 0;
    CHECK_EQ(mp_lock_release(l), 0);
    sync_kill(pid[2]);
    r = mp_lock_acquire(l, MP_NOW);
    CHECK(r == 0 || r == MP_ABANDONED);
    board[1] = 0;
    CHECK_EQ(mp_lock_release(l), 0);
    mp_context_tend(c, true);
    sync_check(c);
  }
  CHECK(board[0] > 0);
  mp_context_close(c);
}
