/* Pools with real processes: a supervisor, workers, and people who kill them. */
#include "../../src/core/pool_layout.h"
#include "pool_world.h"

TEST(tasks_come_back) {
  struct world w = pool_of_workers(2);
  char items[8];
  uint64_t seen[3] = {0};
  uint64_t id[3] = {submit(&w, "e", 0, 0), submit(&w, "eee", 0, 0), submit(&w, "e", 0, 0)};
  for (int i = 0; i < 3; i++) {
    uint64_t over = collect(&w, items, NULL);
    for (int k = 0; k < 3; k++)
      if (id[k] == over) seen[k]++;
    CHECK_STR(items, over == id[1] ? "eee" : "e");
  }
  CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
  end(&w);
}

static uint32_t wakes_of(const struct world *w) {
  return w32_get(&((struct pool *)(void *)w->pool->object)->results.seq);
}

/* Collects `n` tasks with that much patience; gives how often it was woken for that. */
static uint32_t collect_many(struct world *w, int n, uint32_t many) {
  struct mp_pool_result r;
  uint32_t before = wakes_of(w);
  for (; n > 0; n--) {
    CHECK_EQ(mp_pool_collect_many(w->pool, many, mp_in(5 * test_slow()), &r), 0);
    mp_pool_forget(w->pool, &r);
  }
  return wakes_of(w) - before;
}

TEST(who_needs_many_tasks_is_not_woken_by_each) {
  struct world w = pool_of_workers(1);
  double before = test_now();
  for (int i = 0; i < 60; i++) submit(&w, "t", 0, 0);
  CHECK(collect_many(&w, 60, 20) <= 20); /* some of them because it may not sleep for long */
  CHECK(test_now() - before < 1 + TOLERANCE);
  submit(&w, "t", 0, 0);
  submit(&w, "t", 0, 0);
  CHECK_EQ(collect_many(&w, 2, 1000), 1); /* there are no more to come */
  submit(&w, "tt", 0, 0);
  CHECK_EQ(collect_many(&w, 1, 1), 1);
  end(&w);
}

TEST(who_needs_many_tasks_hears_of_deaths) {
  struct world w = pool_of_workers(2);
  double before = test_now();
  submit(&w, "s", 0, 0);
  for (int i = 0; i < 4; i++) submit(&w, "d", 0, 0);
  (void)collect_many(&w, 4, 1000);
  CHECK(test_now() - before < 1 + TOLERANCE);
  mp_pool_terminate(w.pool);
  end(&w);
}

TEST(a_killed_worker_costs_its_item_and_is_replaced) {
  struct world w = pool_of_workers(1);
  char items[8];
  int status = 0;
  submit(&w, "ede", 0, 0);
  collect(&w, items, &status);
  CHECK_STR(items, "eLe");
  CHECK_EQ(status, -SIGKILL);
  submit(&w, "x", 0, 0);
  collect(&w, items, &status);
  CHECK_STR(items, "L");
  CHECK_EQ(status, 7);
  submit(&w, "e", 0, 0);
  collect(&w, items, NULL);
  CHECK_STR(items, "e");
  CHECK_EQ(mp_pool_stats(w.pool).lost, 2);
  end(&w);
}

/* One worker dies before that store of what it does from a task's result on: it delivers the
** result, or takes its next task. Exactly one task is lost at most, and all others are there
** promptly. */
static void die_once(long store) {
  struct world w = pool_of_workers(2);
  char items[8];
  int lost = 0;
  double before = test_now();
  world_plan->store = store;
  world_plan->anywhere = true;
  submit(&w, "g", 0, 0);
  for (int i = 0; i < 5; i++) submit(&w, "l", 0, 0);
  for (int i = 0; i < 6; i++) {
    collect(&w, items, NULL);
    CHECK(items[1] == '\0' && strchr("glL", items[0]) != NULL);
    lost += items[0] == 'L';
  }
  CHECK(lost <= (world_plan->victim != 0));
  end(&w);
  if (test_now() - before > 2 * test_slow() + TOLERANCE)
    test_fail(__FILE__, __LINE__, "killed at store %ld: took %.2f s", store, test_now() - before);
}

TEST(a_worker_may_be_killed_while_it_delivers_or_takes_a_task) {
  for (long store = 1; store <= 170; store++) die_once(store);
}

TEST(retries_run_an_item_again) {
  struct world w = pool_of_workers(1);
  char items[8];
  submit(&w, "ed", 0, 2);
  collect(&w, items, NULL);
  CHECK_STR(items, "eL");
  CHECK_EQ(mp_pool_stats(w.pool).lost, 3);
  end(&w);
}

TEST(a_late_item_is_killed) {
  struct world w = pool_of_workers(1);
  char items[8];
  double before = test_now();
  submit(&w, "ese", 100000000, 0);
  collect(&w, items, NULL);
  CHECK_STR(items, "eTe");
  CHECK_TOOK(test_now() - before, 0.1);
  end(&w);
}

/* The supervisor sleeps when the task begins: it has to be told. */
PLAIN_TEST(a_worker_that_grows_too_large_is_killed) {
  struct world w = world_of(&(struct mp_pool_options){.workers = 2, .memory_per_worker = 32 << 20});
  char items[8];
  int status = 0;
  test_sleep(0.3);
  double before = test_now();
  uint64_t large = submit(&w, "eme", 0, 0), retried = submit(&w, "m", 0, 1);
  for (int i = 0; i < 2; i++) {
    uint64_t id = collect(&w, items, &status);
    CHECK(id == large || id == retried);
    CHECK_STR(items, id == large ? "eMe" : "M");
    CHECK_EQ(status, -SIGKILL);
  }
  CHECK(test_now() - before < 2 + TOLERANCE);
  CHECK_EQ(mp_pool_stats(w.pool).lost, 3);
  submit(&w, "lel", 0, 0);
  collect(&w, items, NULL);
  CHECK_STR(items, "lel");
  end(&w);
}

TEST(a_running_task_is_cancelled) {
  struct world w = pool_of_workers(1);
  char items[8];
  uint64_t id = submit(&w, "s", 0, 0), waiting = submit(&w, "e", 0, 0);
  while (mp_pool_stats(w.pool).running == 0) test_sleep(0.001);
  CHECK_EQ(mp_pool_cancel(w.pool, id, false), MP_EMPTY);
  CHECK_EQ(mp_pool_cancel(w.pool, waiting, false), 0);
  CHECK(collect(&w, items, NULL) == waiting);
  CHECK_STR(items, "");
  CHECK_EQ(mp_pool_cancel(w.pool, id, true), 0);
  mp_supervisor_notify(&w.s);
  CHECK(collect(&w, items, NULL) == id);
  CHECK_STR(items, "C");
  CHECK_EQ(mp_pool_cancel(w.pool, id, true), MP_EMPTY);
  end(&w);
}

TEST(terminate_ends_what_runs) {
  struct world w = pool_of_workers(2);
  double before = test_now();
  submit(&w, "s", 0, 0);
  while (mp_pool_stats(w.pool).running == 0) test_sleep(0.001);
  mp_pool_terminate(w.pool);
  end(&w);
  CHECK(test_now() - before < 1 + TOLERANCE);
}

/* Ends a pool with a worker that does not hear SIGTERM; gives how long that took. */
static double end_of_the_deaf(void (*end_it)(struct world *w)) {
  struct world w = pool_of_workers(2);
  submit(&w, "i", 0, 0);
  while (world_plan->victim == 0) test_sleep(0.001);
  double before = test_now();
  end_it(&w);
  end(&w);
  return test_now() - before;
}

static void terminate_it(struct world *w) {
  mp_pool_terminate(w->pool);
}
static void kill_it(struct world *w) {
  mp_pool_kill(w->pool);
}
static void terminate_and_kill_it(struct world *w) {
  mp_pool_terminate(w->pool);
  mp_supervisor_notify(&w->s);
  test_sleep(0.05);
  mp_pool_kill(w->pool);
}

TEST(terminate_waits_two_seconds_for_the_deaf) {
  double took = end_of_the_deaf(terminate_it);
  CHECK_TOOK(took, 2.0);
}

TEST(kill_does_not_wait_for_the_deaf) {
  CHECK(end_of_the_deaf(kill_it) < 0.5 + TOLERANCE);
  CHECK(end_of_the_deaf(terminate_and_kill_it) < 0.5 + TOLERANCE);
}

/* The first ending takes the room that an area keeps for one. */
TEST(items_that_die_one_after_the_other_have_room_to_end) {
  struct world w = pool_of_workers(1);
  char items[8];
  submit(&w, "hhdde", 0, 0);
  collect(&w, items, NULL);
  CHECK(strcmp(items, "hhLLe") == 0);
  CHECK_EQ(mp_pool_stats(w.pool).lost, 2);
  end(&w);
}

TEST(without_its_supervisor_a_pool_is_broken) {
  struct world w = pool_of_workers(2);
  struct mp_pool_result r;
  submit(&w, "s", 0, 0);
  while (mp_pool_stats(w.pool).running == 0) test_sleep(0.001);
  double before = test_now();
  CHECK_EQ(kill(mp_process_id(w.s.process), SIGKILL), 0);
  int e = mp_pool_collect(w.pool, mp_in(5), &r);
  if (e == 0) { /* the worker went with it, and its task may have been seen first */
    CHECK_EQ(r.settled, 1);
    mp_pool_forget(w.pool, &r);
    e = mp_pool_collect(w.pool, mp_in(5), &r);
  }
  CHECK_EQ(e, MP_BROKEN);
  CHECK(test_now() - before < 1 + TOLERANCE);
  end(&w);
}

TEST(functions_have_numbers_until_they_are_dropped) {
  struct world w = pool_of_workers(1);
  struct mp_parcel p;
  uint32_t number;
  for (uint32_t i = 1; i <= 200; i++) {
    CHECK_EQ(
        mp_pool_function_add(w.pool, &(struct mp_parcel){.bytes = &i, .length = sizeof i}, &number),
        0);
    CHECK_EQ(number, i);
  }
  for (uint32_t i = 1; i <= 200; i += 3) mp_pool_function_drop(w.pool, i);
  mp_pool_function_drop(w.pool, 1);
  mp_pool_function_drop(w.pool, 201);
  for (uint32_t i = 0; i <= 201; i++) {
    bool there = i % 3 != 1 && i > 0 && i < 201;
    CHECK_EQ(mp_pool_function(w.pool, i, &p), there ? 0 : MP_EMPTY);
    if (there) CHECK_EQ(*(const uint32_t *)p.bytes, i);
  }
  end(&w);
}
