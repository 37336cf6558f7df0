/* A worker is stopped before each store that it makes from a task's result to its next task: others
** get on, and it is killed where they could not, and nowhere else. */
#include "crash.h"
#include "pool_world.h"

#define PROMPTLY (2 * test_slow()) /* seconds until a stopped worker may hold up nobody */
#define OTHERS 5

static int somebody_struck(void *unused) {
  (void)unused;
  return world_plan->victim != 0;
}

static int victim_is_gone(void *unused) {
  (void)unused;
  return kill(world_plan->victim, 0) != 0;
}

/* The task's result, or that it was lost: which of them shows whether the worker was killed. */
static void collect_all(struct world *w, uint64_t id, int count, char *own) {
  char items[8];
  for (int i = 0; i < count; i++) {
    if (collect(w, items, NULL) == id)
      *own = items[0];
    else
      CHECK_STR(items, "l");
  }
}

/* One worker stops at that store, and the other one goes on. It is killed for it if it was where
** others may have to wait. False: there was no such store. */
static bool stop_once(long store) {
  struct world w = pool_of_workers(2);
  char own = 0;
  world_plan->store = store;
  world_plan->anywhere = true;
  double before = test_now();
  uint64_t id = submit(&w, "f", 0, 0);
  while (world_plan->victim == 0 && test_now() - before < 2 * test_slow()) test_sleep(0.001);
  world_plan->off = true;
  test_sleep(0.001);
  bool struck_there = somebody_struck(NULL) != 0;
  for (int i = 0; i < OTHERS; i++) submit(&w, "l", 0, 0);
  before = test_now();
  while (mp_pool_stats(w.pool).done < OTHERS) {
    if (test_now() - before > PROMPTLY)
      test_fail(__FILE__, __LINE__, "stopped at store %ld, it holds up others", store);
    test_sleep(0.002);
  }
  if (!world_plan->inside) test_sleep(0.15);
  bool killed = struck_there && (world_plan->inside ? test_eventually(victim_is_gone, NULL) != 0
                                                    : victim_is_gone(NULL) != 0);
  if (killed != world_plan->inside)
    test_fail(__FILE__, __LINE__, "stopped at store %ld: %s", store,
              killed ? "killed" : "left alone");
  if (struck_there) kill(0, SIGCONT);
  collect_all(&w, id, OTHERS + 1, &own);
  CHECK(own == 'f' || (own == 'L' && killed));
  end(&w);
  return struck_there;
}

LONG_TEST(a_worker_is_stopped, 200) {
  long store = 1;
  for (int misses = 0; misses < 2;) { /* again after the first: the machine may have been busy */
    bool there = stop_once(store);
    misses = there ? 0 : misses + 1;
    store += there;
  }
  printf("stops: %ld stores\n", store - 1);
  CHECK(store > 20);
}
