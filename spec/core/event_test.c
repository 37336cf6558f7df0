/* Events, between real processes. */
#include "sync.h"

static int wait_for(mp_event *e, mp_deadline until) {
  return mp_event_wait(e, mp_event_moment(e), until);
}

TEST(an_event_is_set_and_cleared) {
  struct mp_context *c = sync_context();
  mp_event *e;
  CHECK_EQ(mp_event_new(c, &e), 0);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(mp_event_is_set(e), 0);
    CHECK_EQ(wait_for(e, MP_NOW), MP_TIMEOUT);
    mp_event_set(e);
    mp_event_set(e);
    CHECK_EQ(mp_event_is_set(e), 1);
    CHECK_EQ(wait_for(e, MP_NOW), 0);
    CHECK_EQ(wait_for(e, MP_FOREVER), 0);
    mp_event_clear(e);
    mp_event_clear(e);
  }
  double start = test_now();
  CHECK_EQ(wait_for(e, mp_in(0.1)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - start, 0.1);
  sync_check(c);
  CHECK(mp_event_close(e) == NULL);
  mp_context_close(c);
}

static int yes(void *arg) {
  (void)arg;
  return 1;
}

TEST(a_signal_interrupts_a_wait_which_goes_on_where_it_was) {
  struct mp_context *c = sync_context();
  mp_event *e;
  CHECK_EQ(mp_event_new(c, &e), 0);
  c->interrupted = yes;
  uint64_t since = mp_event_moment(e);
  CHECK_EQ(mp_event_wait(e, since, MP_FOREVER), MP_INTERRUPTED);
  mp_event_set(e); /* while the handler runs */
  mp_event_clear(e);
  CHECK_EQ(mp_event_wait(e, since, MP_NOW), 0);
  mp_context_close(c);
}

enum { WAITERS = 4 };

/* Starts processes that wait and count themselves on board[0]. */
static void start_waiters(struct mp_context *c, mp_event *e, volatile long *board, int pid[]) {
  for (int i = 0; i < WAITERS; i++) {
    if (sync_fork(c, &pid[i])) {
      CHECK_EQ(wait_for(e, MP_FOREVER), 0);
      sync_add(&board[0], 1);
      sync_exit();
    }
    sync_await_sleep(pid[i]);
  }
}

TEST(set_wakes_all_and_a_clear_right_after_it_takes_nobodys_turn) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_event *e;
  int pid[WAITERS];
  CHECK_EQ(mp_event_new(c, &e), 0);
  start_waiters(c, e, board, pid);
  test_sleep(0.7); /* their naps have become long */
  double start = test_now();
  mp_event_set(e);
  mp_event_clear(e);
  sync_await(board, WAITERS);
  CHECK(test_now() - start < TOLERANCE);
  for (int i = 0; i < WAITERS; i++) sync_join(pid[i]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(killed_waiters_do_no_harm) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_event *e;
  int pid[WAITERS];
  CHECK_EQ(mp_event_new(c, &e), 0);
  start_waiters(c, e, board, pid);
  for (int i = 0; i < 2; i++) sync_kill(pid[i]);
  mp_event_set(e);
  sync_await(board, WAITERS - 2);
  for (int i = 2; i < WAITERS; i++) sync_join(pid[i]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

/* The setter is killed at a random moment around the set: if the event is set, all wake. */
LONG_TEST(a_setter_killed_before_it_woke_anybody_costs_a_nap, 60) {
  struct mp_context *c = sync_context();
  for (int round = 0; round < 20; round++) {
    volatile long *board = sync_board();
    mp_event *e;
    int pid, setter;
    CHECK_EQ(mp_event_new(c, &e), 0);
    if (sync_fork(c, &pid)) {
      CHECK_EQ(wait_for(e, MP_FOREVER), 0);
      sync_add(&board[0], 1);
      sync_exit();
    }
    sync_await_sleep(pid);
    if (sync_fork(c, &setter)) {
      for (;;) {
        mp_event_set(e);
        mp_event_clear(e);
      }
    }
    test_sleep(0.0002 * round);
    sync_kill(setter);
    if (mp_event_moment(e) == 0) mp_event_set(e);
    sync_await(board, 1);
    sync_join(pid);
    mp_event_close(e);
  }
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}
