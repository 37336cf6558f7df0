/* Workers that are stopped: in the middle of what others wait for, and elsewhere. */
#include "pool_world.h"

#define PROMPTLY (2 * test_slow()) /* seconds until a stopped worker may hold up nobody */

static int somebody_struck(void *unused) {
  (void)unused;
  return world_plan->victim != 0;
}

static char state_of(pid_t pid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = '\0';
  const char *p = strrchr(text, ')');
  return p == NULL ? 0 : p[2];
}

/* A task of this kind and twenty others: all come back promptly. Gives how the first one ended. */
static char among_others(struct world *w, const char *jobs, int *status) {
  char items[8], found = 0;
  double before = test_now();
  uint64_t id = submit(w, jobs, 0, 0);
  CHECK(test_eventually(somebody_struck, NULL));
  for (int i = 0; i < 20; i++) submit(w, "l", 0, 0);
  for (int i = 0; i < 21; i++) {
    if (collect(w, items, status) == id) found = items[0];
    else CHECK_STR(items, "l");
  }
  CHECK(test_now() - before < PROMPTLY);
  return found;
}

TEST(a_worker_stopped_in_a_section_is_killed) {
  struct world w = pool_of_workers(2);
  int status = 0;
  world_plan->store = 1;
  CHECK_EQ(among_others(&w, "f", &status), 'L');
  CHECK_EQ(status, -SIGKILL);
  CHECK_EQ(mp_pool_stats(w.pool).lost, 1);
  end(&w);
}

/* The creator does nothing meanwhile, and nobody wants the lock but the supervisor. */
TEST(it_is_killed_though_nobody_waits) {
  struct world w = pool_of_workers(2);
  char items[8];
  world_plan->store = 1;
  submit(&w, "f", 0, 0);
  CHECK(test_eventually(somebody_struck, NULL));
  double before = test_now();
  while (state_of(world_plan->victim) == 'T') {
    CHECK(test_now() - before < PROMPTLY);
    test_sleep(0.002);
  }
  collect(&w, items, NULL);
  CHECK_STR(items, "L");
  end(&w);
}

TEST(a_worker_stopped_elsewhere_lives) {
  struct world w = pool_of_workers(2);
  char items[8];
  uint64_t id = submit(&w, "p", 0, 0);
  for (int i = 0; i < 20; i++) submit(&w, "l", 0, 0);
  for (int i = 0; i < 20; i++) {
    CHECK(collect(&w, items, NULL) != id);
    CHECK_STR(items, "l");
  }
  test_sleep(0.5);
  CHECK_EQ(mp_pool_stats(w.pool).running, 1);
  CHECK_EQ(mp_pool_stats(w.pool).lost, 0);
  mp_pool_close(w.pool);
  kill(0, SIGCONT); /* the case's group: it, the supervisor, the workers */
  collect(&w, items, NULL);
  CHECK_STR(items, "p");
  end(&w);
}

TEST(a_stopped_worker_has_its_time_limit) {
  struct world w = pool_of_workers(1);
  char items[8];
  double before = test_now();
  submit(&w, "epe", 100000000, 0);
  collect(&w, items, NULL);
  CHECK_STR(items, "eTe");
  CHECK_TOOK(test_now() - before, 0.1);
  end(&w);
}

TEST(so_it_has_before_it_could_tell_of_it) {
  struct world w = pool_of_workers(1);
  char items[8];
  double before = test_now();
  submit(&w, "y", 100000000, 0);
  collect(&w, items, NULL);
  CHECK_STR(items, "T");
  CHECK_TOOK(test_now() - before, 0.1);
  end(&w);
}

/* One dies in a section while the supervisor is stopped, another one begins to clean up and is
** stopped: nobody else may do it as long as that one lives. */
TEST(a_worker_stopped_as_a_cleaner_is_killed) {
  struct world w = pool_of_workers(2);
  char items[8], ends[3] = "";
  pid_t supervisor = mp_process_id(w.s.process);
  world_plan->store = 1;
  while (mp_pool_stats(w.pool).workers < 2) test_sleep(0.001);
  CHECK_EQ(kill(supervisor, SIGSTOP), 0);
  submit(&w, "g", 0, 0);
  CHECK(test_eventually(somebody_struck, NULL));
  world_plan->victim = 0;
  submit(&w, "f", 0, 0); /* waits for the section of the one that died, and cleans it up */
  CHECK(test_eventually(somebody_struck, NULL));
  CHECK_EQ(state_of(world_plan->victim), 'T');
  CHECK_EQ(kill(supervisor, SIGCONT), 0);
  double before = test_now();
  for (int i = 0; i < 2; i++) {
    collect(&w, items, NULL);
    ends[i] = items[0];
  }
  CHECK_STR(ends, "LL");
  CHECK(test_now() - before < PROMPTLY);
  end(&w);
}

TEST(a_stopped_worker_ends_with_its_pool) {
  struct world w = pool_of_workers(1);
  submit(&w, "p", 0, 0);
  while (mp_pool_stats(w.pool).running == 0) test_sleep(0.001);
  test_sleep(0.05);
  double before = test_now();
  mp_pool_terminate(w.pool);
  end(&w);
  CHECK(test_now() - before < 1 + TOLERANCE);
}
