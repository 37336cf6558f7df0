/* Counters that go round: what counts wake-ups, and what tells the lives of a slot apart. */
#include "../../src/core/park.h"
#include "sync.h"

#define ROUNDS 8u
#define LONG_NAP 5u /* a waiter's count of naps from which on one lasts half a second */

static void wait_for_rounds(struct mp_context *c, struct mp_park *p, volatile long *board) {
  for (long round = 1; round <= (long)ROUNDS; round++) {
    unsigned nap = LONG_NAP;
    while (board[0] < round) {
      uint32_t seq = mp_park_ticket(p);
      mp_park_announce(p);
      if (board[0] >= round) break;
      CHECK_EQ(mp_park_wait(c, p, seq, mp_in(20), &nap), 0);
    }
    board[1] = round;
  }
}

TEST(wake_ups_are_counted_beyond_the_last_number) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_ref block;
  int pid;
  CHECK_EQ(mp_heap_reserve(c, sizeof(struct mp_park), MP_BLOCK_PLAIN, &block), 0);
  struct mp_park *p = mp_at(c, block);
  w32_put(&p->seq, UINT32_MAX - ROUNDS / 2);
  w32_put(&p->waiting, 0);
  if (sync_fork(c, &pid)) {
    wait_for_rounds(c, p, board);
    sync_exit();
  }
  for (long round = 1; round <= (long)ROUNDS; round++) {
    sync_await_sleep(pid);
    double begin = test_now();
    board[0] = round;
    mp_park_wake(c, p, 1);
    sync_await(&board[1], round);
    CHECK_TOOK(test_now() - begin, 0.0);
  }
  CHECK(w32_get(&p->seq) < ROUNDS);
  sync_join(pid);
  mp_heap_unreserve(c, block);
  mp_context_close(c);
}

/* Every holder is known for dead, in the last life of a slot's count and in the first after it. */
TEST(the_lives_of_a_slot_go_round) {
  struct mp_context *c = sync_context();
  volatile long *board = sync_board();
  mp_lock *l;
  int pid;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  uint32_t other = mp_tag_index(c->tag) + 1;
  for (long i = 0; i < 3; i++) {
    if (sync_fork(c, &pid)) {
      if (i > 0) CHECK(mp_lock_acquire(l, MP_NOW) == 0);
      board[0] = i + 1;
      for (;;) pause();
    }
    sync_await(&board[0], i + 1);
    sync_kill(pid);
    if (i > 0) CHECK_EQ(mp_lock_acquire(l, mp_in(2)), MP_ABANDONED);
    if (i > 0) CHECK_EQ(mp_lock_release(l), 0);
    mp_context_tend(c, true);
    struct mp_slot *s = mp_slot_at(&c->arena, other);
    CHECK_EQ(w64_get(&s->who), 0);
    if (i == 0) w32_put(&s->life, MP_GENERATION_MASK);
    if (i == 1) CHECK_EQ(w32_get(&s->life), 0);
  }
  mp_lock_close(l);
  sync_check(c);
  mp_context_close(c);
}
