/* Barriers, between real processes, some of which are killed. */
#include "../../src/core/sync.h"
#include "sync.h"

static mp_barrier *make(struct mp_context *c, unsigned parties) {
  mp_barrier *b;
  CHECK_EQ(mp_barrier_new(c, parties, &b), 0);
  return b;
}

static int pass(mp_barrier *b, unsigned *number) {
  return mp_barrier_wait(b, MP_FOREVER, NULL, number);
}

TEST(a_barrier_of_one_lets_through) {
  struct mp_context *c = sync_context();
  mp_barrier *b = make(c, 1);
  unsigned number = 0;
  CHECK_EQ(mp_barrier_new(c, 0, &b), -EINVAL);
  for (int i = 0; i < 3; i++) CHECK_EQ(pass(b, &number), 0);
  CHECK_EQ(number, 1);
  sync_check(c);
  CHECK(mp_barrier_close(b) == NULL);
  mp_context_close(c);
}

enum { PARTIES = 3, ROUNDS = 500 };

TEST(nobody_passes_before_the_last_has_come) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board(); /* [0] arrivals, [1 ..] how often each number was given */
  mp_barrier *b = make(c, PARTIES);
  int pid[PARTIES];
  for (int i = 0; i < PARTIES; i++) {
    if (sync_fork(c, &pid[i])) {
      for (long k = 1; k <= ROUNDS; k++) {
        unsigned number;
        sync_add(&board[0], 1);
        CHECK_EQ(pass(b, &number), 0);
        CHECK(board[0] >= k * PARTIES);
        CHECK(number >= 1 && number <= PARTIES);
        sync_add(&board[number], 1);
      }
      sync_exit();
    }
  }
  for (int i = 0; i < PARTIES; i++) sync_join(pid[i]);
  for (int i = 1; i <= PARTIES; i++) CHECK_EQ(board[i], ROUNDS);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

/* More processes than parties: generations overtake each other. */
TEST(a_crowd_passes_in_groups) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_barrier *b = make(c, 2);
  int pid[4];
  for (int i = 0; i < 4; i++) {
    if (sync_fork(c, &pid[i])) {
      unsigned number;
      for (int k = 0; k < ROUNDS; k++) CHECK_EQ(pass(b, &number), 0);
      sync_add(&board[0], 1);
      CHECK(mp_barrier_wait(b, mp_in(0.001), NULL, &number) >= 0); /* somebody may be left alone */
      sync_exit();
    }
  }
  double start = test_now();
  while (board[0] < 4 && test_now() - start < 5 * test_slow()) {
    unsigned number;
    int r = mp_barrier_wait(b, mp_in(0.2), NULL, &number); /* for the one that is left alone */
    if (r == MP_BROKEN && board[0] >= 2) break;
  }
  for (int i = 0; i < 4; i++) waitpid(pid[i], NULL, 0);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

static void start_parties(struct mp_context *c, mp_barrier *b, int n, int expected, int pid[]) {
  for (int i = 0; i < n; i++) {
    if (sync_fork(c, &pid[i])) {
      unsigned number;
      CHECK_EQ(pass(b, &number), expected);
      sync_exit();
    }
    sync_await_sleep(pid[i]);
  }
}

TEST(a_timeout_breaks_it_for_all_until_it_is_reset) {
  struct mp_context *c = sync_context();
  mp_barrier *b = make(c, 3);
  unsigned number;
  int pid[1];
  start_parties(c, b, 1, MP_BROKEN, pid);
  CHECK_EQ(mp_barrier_look_at(b).waiting, 1);
  double start = test_now();
  CHECK_EQ(mp_barrier_wait(b, mp_in(0.1), NULL, &number), MP_BROKEN);
  CHECK_TOOK(test_now() - start, 0.1);
  sync_join(pid[0]);
  CHECK_EQ(mp_barrier_look_at(b).broken, 1);
  CHECK_EQ(mp_barrier_look_at(b).waiting, 0);
  CHECK_EQ(mp_barrier_look_at(b).parties, 3);
  CHECK_EQ(pass(b, &number), MP_BROKEN);
  mp_barrier_reset(b);
  CHECK_EQ(mp_barrier_look_at(b).broken, 0);
  start_parties(c, b, 1, MP_BROKEN, pid);
  mp_barrier_reset(b); /* breaks it for the one inside alone */
  sync_join(pid[0]);
  CHECK_EQ(mp_barrier_look_at(b).broken, 0);
  start_parties(c, b, 1, MP_BROKEN, pid);
  mp_barrier_abort(b);
  sync_join(pid[0]);
  CHECK_EQ(mp_barrier_look_at(b).broken, 1);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(a_party_that_dies_inside_breaks_it) {
  struct mp_context *c = sync_context();
  mp_barrier *b = make(c, 3);
  unsigned number;
  int pid[2];
  start_parties(c, b, 2, MP_BROKEN, pid);
  sync_kill(pid[0]);
  double start = test_now();
  sync_join(pid[1]); /* it finds out by itself */
  CHECK(test_now() - start < 1 * test_slow());
  CHECK_EQ(pass(b, &number), MP_BROKEN);
  mp_context_tend(c, true);
  sync_check(c);
  mp_barrier_reset(b);
  start_parties(c, b, 2, 0, pid);
  CHECK_EQ(pass(b, &number), 0);
  sync_join(pid[0]);
  sync_join(pid[1]);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

static int yes(void *arg) {
  (void)arg;
  return 1;
}

TEST(an_interrupted_party_takes_its_arrival_back) {
  struct mp_context *c = sync_context();
  mp_barrier *b = make(c, 3);
  unsigned number, seen = 0;
  int pid[2], status;
  c->interrupted = yes;
  CHECK_EQ(mp_barrier_wait(b, MP_FOREVER, NULL, &number), MP_INTERRUPTED);
  c->interrupted = NULL;
  CHECK_EQ(mp_barrier_look_at(b).waiting, 0);
  CHECK_EQ(mp_barrier_look_at(b).broken, 0);
  sync_check(c);
  for (int i = 0; i < 2; i++) {
    if (sync_fork(c, &pid[i])) {
      CHECK_EQ(pass(b, &number), 0);
      _exit((int)number);
    }
  }
  CHECK_EQ(pass(b, &number), 0);
  seen = 1u << number;
  for (int i = 0; i < 2; i++) {
    waitpid(pid[i], &status, 0);
    seen |= 1u << WEXITSTATUS(status);
  }
  CHECK_EQ(seen, 2 + 4 + 8); /* each number once, for all that one came twice */
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

struct play {
  mp_barrier *b;
  volatile long *board;
  int result;
};

static int act(void *arg) {
  struct play *p = arg;
  unsigned number;
  CHECK_EQ(mp_barrier_look_at(p->b).waiting, 2);
  CHECK_EQ(mp_barrier_wait(p->b, MP_NOW, NULL, &number), -EDEADLK);
  sync_add(&p->board[0], 1);
  test_sleep(0.05);
  CHECK_EQ(p->board[1], 0); /* nobody has passed */
  return p->result;
}

static void with_action(int result, int expected) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  struct play p = {make(c, 2), board, result};
  mp_barrier_act a = {act, &p};
  unsigned number;
  int pid;
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_barrier_wait(p.b, MP_FOREVER, &a, &number), expected);
    sync_add(&board[1], 1);
    sync_exit();
  }
  CHECK_EQ(mp_barrier_wait(p.b, MP_FOREVER, &a, &number), expected);
  sync_add(&board[1], 1);
  sync_join(pid);
  CHECK_EQ(board[0], 1); /* it ran once */
  CHECK_EQ(mp_barrier_look_at(p.b).broken, expected == MP_BROKEN);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(the_action_runs_once_before_anybody_passes) {
  with_action(0, 0);
}
TEST(a_failing_action_breaks_it) {
  with_action(1, MP_BROKEN);
}

static int die(void *arg) {
  (void)arg;
  kill(getpid(), SIGKILL);
  return 0;
}

TEST(who_dies_in_the_action_breaks_it) {
  struct mp_context *c = sync_context();
  mp_barrier *b = make(c, 2);
  mp_barrier_act a = {die, NULL};
  unsigned number;
  int first, second;
  if (sync_fork(c, &first)) {
    CHECK_EQ(mp_barrier_wait(b, MP_FOREVER, &a, &number), MP_BROKEN);
    sync_exit();
  }
  sync_await_sleep(first);
  if (sync_fork(c, &second)) {
    CHECK_EQ(mp_barrier_wait(b, MP_FOREVER, &a, &number), -1); /* not reached */
  }
  sync_join(first);
  waitpid(second, NULL, 0);
  mp_context_tend(c, true);
  sync_check(c);
  mp_context_close(c);
}

TEST(the_action_travels_with_it) {
  struct mp_context *c = sync_context(), *d = sync_context();
  struct mp_parcel p = {.bytes = "what to do", .length = 10}, q;
  mp_barrier *b, *same;
  CHECK_EQ(mp_barrier_new_with(c, 2, &p, &b), 0);
  sync_check(c);
  CHECK_EQ(mp_barrier_open(d, mp_handle_ticket(b), &same), 0);
  CHECK_EQ(mp_barrier_action(same, &q), 0);
  CHECK(q.length == 10 && memcmp(q.bytes, "what to do", 10) == 0);
  mp_barrier_close(b);
  mp_barrier_close(same);
  b = make(c, 2);
  CHECK_EQ(mp_barrier_action(b, &q), MP_EMPTY);
  mp_context_close(d);
  sync_check(c);
  mp_context_close(c);
}
