/* Threads stand in for processes, so that a sanitizer sees what one publishes to another: plain
** memory under each kind of synchronisation. */
#include <pthread.h>

#include "sync.h"

enum { THREADS = 4, ROUNDS = 2000 };

struct party {
  pthread_t thread;
  struct mp_context *c;
  mp_ticket ticket;
  void (*play)(struct party *p);
  int number;
};

static long counter;          /* under what is being tested */
static long cells[THREADS];   /* each written by one party between two barriers */

static void *party_run(void *arg) {
  struct party *p = arg;
  p->play(p);
  return NULL;
}

/* Every party has a participant of its own, and a handle of what the ticket names. */
static void play(struct mp_context *c, mp_ticket ticket, void (*how)(struct party *p)) {
  struct party party[THREADS];
  counter = 0;
  for (int i = 0; i < THREADS; i++) {
    party[i] = (struct party){.c = sync_context(), .ticket = ticket, .play = how, .number = i};
    CHECK_EQ(pthread_create(&party[i].thread, NULL, party_run, &party[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(party[i].thread, NULL);
  for (int i = 0; i < THREADS; i++) mp_context_close(party[i].c);
  sync_check(c);
}

static void lock_often(struct party *p) {
  mp_lock *l;
  CHECK_EQ(mp_lock_open(p->c, p->ticket, &l), 0);
  for (int i = 0; i < ROUNDS; i++) {
    CHECK_EQ(mp_lock_acquire(l, MP_FOREVER), 0);
    counter++;
    CHECK_EQ(mp_lock_release(l), 0);
  }
}

TEST(a_lock_publishes) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  CHECK_EQ(mp_lock_new(c, &l), 0);
  play(c, mp_handle_ticket(l), lock_often);
  CHECK_EQ(counter, THREADS * ROUNDS);
  mp_context_close(c);
}

static void rlock_often(struct party *p) {
  mp_lock *l;
  CHECK_EQ(mp_rlock_open(p->c, p->ticket, &l), 0);
  for (int i = 0; i < ROUNDS; i++) {
    for (int k = 0; k < 2; k++) CHECK_EQ(mp_rlock_acquire(l, MP_FOREVER), 0);
    counter++;
    for (int k = 0; k < 2; k++) CHECK_EQ(mp_rlock_release(l), 0);
  }
}

TEST(an_rlock_publishes) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  CHECK_EQ(mp_rlock_new(c, &l), 0);
  play(c, mp_handle_ticket(l), rlock_often);
  CHECK_EQ(counter, THREADS * ROUNDS);
  mp_context_close(c);
}

static void semaphore_often(struct party *p) {
  mp_semaphore *s;
  CHECK_EQ(mp_semaphore_open(p->c, p->ticket, &s), 0);
  for (int i = 0; i < ROUNDS; i++) {
    CHECK_EQ(mp_semaphore_acquire(s, MP_FOREVER), 0);
    counter++;
    CHECK_EQ(mp_semaphore_release(s), 0);
  }
}

static void a_semaphore_publishes(unsigned flags) {
  struct mp_context *c = sync_context();
  mp_semaphore *s;
  mp_semaphore_options o = {1, flags};
  CHECK_EQ(mp_semaphore_new(c, &o, &s), 0);
  play(c, mp_handle_ticket(s), semaphore_often);
  CHECK_EQ(counter, THREADS * ROUNDS);
  CHECK_EQ(mp_semaphore_value(s), 1);
  mp_context_close(c);
}

TEST(a_plain_semaphore_publishes) {
  a_semaphore_publishes(0);
}
TEST(a_bounded_semaphore_publishes) {
  a_semaphore_publishes(MP_SEMAPHORE_BOUNDED);
}

/* The parties take turns: each waits until the counter is its own. */
static void take_turns(struct party *p) {
  mp_condition *n;
  mp_lock *l;
  int abandoned;
  CHECK_EQ(mp_condition_open(p->c, p->ticket, &n), 0);
  CHECK_EQ(mp_condition_lock(n, &l), 0);
  for (int i = 0; i < ROUNDS / 10; i++) {
    CHECK_EQ(mp_rlock_acquire(l, MP_FOREVER), 0);
    while (counter % THREADS != p->number)
      CHECK_EQ(mp_condition_wait(n, l, MP_FOREVER, &abandoned), 0);
    counter++;
    CHECK_EQ(mp_condition_notify(n, l, UINT32_MAX), 0);
    CHECK_EQ(mp_rlock_release(l), 0);
  }
}

TEST(a_condition_publishes) {
  struct mp_context *c = sync_context();
  mp_lock *l;
  mp_condition *n;
  CHECK_EQ(mp_rlock_new(c, &l), 0);
  CHECK_EQ(mp_condition_new(c, l, &n), 0);
  play(c, mp_handle_ticket(n), take_turns);
  CHECK_EQ(counter, THREADS * (ROUNDS / 10));
  mp_context_close(c);
}

/* Between two barriers each party writes its own cell; after it, each reads all of them. */
static void meet(struct party *p) {
  mp_barrier *b;
  unsigned number;
  CHECK_EQ(mp_barrier_open(p->c, p->ticket, &b), 0);
  for (int i = 1; i <= ROUNDS / 10; i++) {
    cells[p->number] = i;
    CHECK_EQ(mp_barrier_wait(b, MP_FOREVER, NULL, &number), 0);
    for (int k = 0; k < THREADS; k++) CHECK_EQ(cells[k], i);
    CHECK_EQ(mp_barrier_wait(b, MP_FOREVER, NULL, &number), 0);
  }
}

TEST(a_barrier_publishes) {
  struct mp_context *c = sync_context();
  mp_barrier *b;
  CHECK_EQ(mp_barrier_new(c, THREADS, &b), 0);
  play(c, mp_handle_ticket(b), meet);
  mp_context_close(c);
}

/* The first party writes and sets; the others wait and read. */
static void tell(struct party *p) {
  mp_event *e;
  CHECK_EQ(mp_event_open(p->c, p->ticket, &e), 0);
  if (p->number == 0) {
    counter = 42;
    mp_event_set(e);
    return;
  }
  while (!mp_event_is_set(e)) CHECK(mp_event_wait(e, mp_event_moment(e), mp_in(1)) >= 0);
  CHECK_EQ(counter, 42);
}

TEST(an_event_publishes) {
  struct mp_context *c = sync_context();
  mp_event *e;
  CHECK_EQ(mp_event_new(c, &e), 0);
  play(c, mp_handle_ticket(e), tell);
  mp_context_close(c);
}
