/* Ctrl-C reaches a supervisor at each point of its loop. */
#include <signal.h>

#include "pool_world.h"

/* Shared with the supervisor: when the signal comes. */
struct moment {
  struct mp_context *context;  /* at the same address there */
  volatile pid_t supervisor;   /* 0: nothing happens yet */
  volatile long store;         /* the how manyth from now on */
  volatile bool waits;         /* one outside of sections, and there it waits until it may go on */
  volatile bool came, may_go_on;
};

static struct moment *moment;

static void at_store(const char *file, int line) {
  (void)file;
  (void)line;
  if (getpid() != moment->supervisor || moment->came) return;
  if (moment->waits && world_detains(moment->context)) return;
  if (--moment->store > 0) return;
  raise(SIGINT);
  moment->came = true;
  while (moment->waits && !moment->may_go_on) test_sleep(0.001);
}

static int is_running(void *pool) {
  return mp_pool_stats((struct mp_handle *)pool).running > 0;
}

/* A pool of one worker, which sleeps. */
static struct world world_of_a_sleeper(uint64_t *id) {
  moment = mmap(NULL, sizeof *moment, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(moment != MAP_FAILED);
  mp_crash_hook = at_store;
  struct world w = pool_of_workers(1);
  mp_crash_hook = NULL;
  *id = submit(&w, "s", 0, 0);
  CHECK(test_eventually(is_running, w.pool));
  return w;
}

static int it_came(void *world) {
  mp_supervisor_notify(&((struct world *)world)->s); /* once more through its loop */
  return moment->came;
}

static void come_at(struct world *w, long store) {
  moment->context = w->c;
  moment->store = store;
  moment->supervisor = mp_process_id(w->s.process);
  CHECK(test_eventually(it_came, w));
}

#define STORES 40 /* more than it makes from one sleep to the next */

TEST(it_ends_what_is_left_wherever_it_comes) {
  for (long store = 1; store <= STORES; store++) {
    uint64_t id;
    struct world w = world_of_a_sleeper(&id);
    mp_pool_part(w.pool);
    come_at(&w, store);
    CHECK_EQ(mp_supervisor_join(&w.s, mp_in(2 * test_slow())), 0);
    end(&w);
    munmap(moment, sizeof *moment);
  }
}

/* Work that is given between its coming and the supervisor's next look is not what it was about. */
TEST(it_is_about_what_there_was) {
  uint64_t id, more;
  struct world w = world_of_a_sleeper(&id);
  char items[8];
  moment->waits = true;
  come_at(&w, 1);
  more = submit(&w, "e", 0, 0);
  mp_pool_part(w.pool);
  moment->may_go_on = true;
  CHECK_EQ(mp_pool_cancel(w.pool, id, true), 0);
  mp_supervisor_notify(&w.s);
  CHECK_EQ(collect(&w, items, NULL), id);
  CHECK_EQ(collect(&w, items, NULL), more);
  CHECK_STR(items, "e");
  end(&w);
  munmap(moment, sizeof *moment);
}
