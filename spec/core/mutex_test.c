/* The mutex: exclusion between threads and processes, and holders that die. */
#include <pthread.h>

#include "../../src/core/context.h"
#include "test.h"

/* Something to protect, in a block of the arena: two words that must stay equal. */
struct twins {
  mp_mutex lock;
  mp_w32 pad;
  mp_w64 a, b;
};

static struct mp_context *open_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static struct twins *new_twins(struct mp_context *c, mp_ref *block) {
  CHECK_EQ(mp_heap_reserve(c, sizeof(struct twins), MP_BLOCK_PLAIN, block), 0);
  memset(mp_at(c, *block), 0, sizeof(struct twins));
  return (struct twins *)mp_at(c, *block);
}

static void count_up(struct mp_context *c, struct twins *t, int times) {
  for (int i = 0; i < times; i++) {
    mp_mutex_lock(c, &t->lock);
    CHECK(mp_mutex_mine(c, &t->lock));
    uint64_t a = w64_get(&t->a);
    CHECK_EQ(a, w64_get(&t->b));
    mp_tx_set64(c, &t->a, a + 1);
    mp_tx_set64(c, &t->b, a + 1);
    mp_tx_commit(c);
    mp_mutex_unlock(c, &t->lock);
  }
}

struct counting {
  struct mp_context *c;
  struct twins *t;
};

static void *count_in_thread(void *arg) {
  struct counting *k = arg;
  count_up(k->c, k->t, 20000);
  return NULL;
}

TEST(threads_exclude_each_other) {
  mp_ref block;
  struct counting k[4];
  pthread_t thread[4];
  for (int i = 0; i < 4; i++) k[i].c = open_context();
  struct twins *t = new_twins(k[0].c, &block);
  for (int i = 0; i < 4; i++) k[i].t = t;
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&thread[i], NULL, count_in_thread, &k[i]), 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
  CHECK_EQ(w64_get(&t->a), 80000);
  mp_heap_unreserve(k[0].c, block);
  for (int i = 3; i >= 0; i--) mp_context_close(k[i].c);
}

TEST(processes_exclude_each_other) {
  mp_ref block;
  struct mp_context *c = open_context();
  struct twins *t = new_twins(c, &block);
  int pid[4], status;
  for (int i = 0; i < 4; i++) {
    uint32_t tag;
    CHECK_EQ(mp_context_fork(c, false, &pid[i], &tag), 0);
    if (pid[i] == 0) {
      count_up(c, t, 20000);
      _exit(0);
    }
  }
  for (int i = 0; i < 4; i++) CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
  CHECK_EQ(w64_get(&t->a), 80000);
  mp_context_tend(c, true);
  mp_heap_unreserve(c, block);
  const char *wrong = mp_check_arena(c);
  CHECK_STR(wrong == NULL ? "" : wrong, "");
  mp_context_close(c);
}

/* A child that locks, changes one twin, and then is killed or stopped. */
static int half_done(struct mp_context *c, struct twins *t) {
  int pid;
  uint32_t tag;
  CHECK_EQ(mp_context_fork(c, false, &pid, &tag), 0);
  if (pid == 0) {
    mp_mutex_lock(c, &t->lock);
    mp_tx_set64(c, &t->a, 999);
    for (;;) pause();
  }
  while (w64_get(&t->a) != 999) test_sleep(0.001);
  return pid;
}

TEST(a_dead_holder_s_change_is_undone_by_whoever_waits) {
  mp_ref block;
  struct mp_context *c = open_context();
  struct twins *t = new_twins(c, &block);
  int pid = half_done(c, t);
  CHECK_EQ(kill(pid, SIGKILL), 0); /* and stays a zombie: the dead need not be reaped */
  double before = test_now();
  count_up(c, t, 1);
  CHECK(test_now() - before < 0.1 + TOLERANCE);
  CHECK_EQ(w64_get(&t->a), 1);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  mp_context_tend(c, true);
  mp_heap_unreserve(c, block);
  mp_context_close(c);
}

TEST(a_stopped_holder_is_not_dead) {
  mp_ref block;
  struct mp_context *c = open_context(), *other = open_context();
  struct twins *t = new_twins(c, &block);
  int pid = half_done(c, t);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  pthread_t thread;
  struct counting k = {other, t};
  CHECK_EQ(pthread_create(&thread, NULL, count_in_thread, &k), 0);
  test_sleep(0.1);
  CHECK_EQ(w64_get(&t->a), 999); /* nobody took its mutex away */
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(w64_get(&t->a), 20000);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  mp_context_tend(c, true);
  mp_heap_unreserve(c, block);
  mp_context_close(other);
  mp_context_close(c);
}

/* Holders die one after the other under a crowd that wants the mutex. */
LONG_TEST(a_crowd_survives_its_dead, 60) {
  mp_ref block;
  struct mp_context *c = open_context();
  struct twins *t = new_twins(c, &block);
  int crowd[3];
  uint32_t tag;
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(mp_context_fork(c, false, &crowd[i], &tag), 0);
    if (crowd[i] == 0)
      for (;;) count_up(c, t, 1);
  }
  for (int round = 0; round < 30; round++) {
    int pid;
    CHECK_EQ(mp_context_fork(c, false, &pid, &tag), 0);
    if (pid == 0) {
      mp_mutex_lock(c, &t->lock);
      mp_tx_set64(c, &t->b, 12345678);
      kill(getpid(), SIGKILL);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    uint64_t seen = w64_get(&t->a);
    double before = test_now();
    while (w64_get(&t->a) == seen && test_now() - before < 2) test_sleep(0.0005);
    CHECK(w64_get(&t->a) != seen);
  }
  for (int i = 0; i < 3; i++) {
    kill(crowd[i], SIGKILL);
    CHECK_EQ(waitpid(crowd[i], NULL, 0), crowd[i]);
  }
  count_up(c, t, 1);
  mp_context_tend(c, true);
  mp_heap_unreserve(c, block);
  const char *wrong = mp_check_arena(c);
  CHECK_STR(wrong == NULL ? "" : wrong, "");
  mp_context_close(c);
}
