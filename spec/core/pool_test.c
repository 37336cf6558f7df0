/* Pools with real processes: a supervisor, workers, and people who kill them. */
#include "../../src/core/pool.h"
#include "test.h"

#include "../../src/core/process.h"

/* A job is one byte: what a worker is to do with it. */
enum job { ECHO = 'e', SLEEP = 's', DIE = 'd', EXIT = 'x' };

static void work_off(struct mp_handle *pool, struct mp_supervisor *s) {
  struct mp_work w;
  mp_work_ready(pool);
  while (mp_work_take(pool, MP_FOREVER, &w) == 0) {
    if (w.timed) mp_supervisor_notify(s);
    for (uint32_t i = w.first; i < w.count; i++) {
      const char *jobs = w.parcel.bytes;
      if (jobs[i] == SLEEP) test_sleep(60);
      if (jobs[i] == DIE) raise(SIGKILL);
      if (jobs[i] == EXIT) mp_process_exit(pool->context, 7);
      CHECK_EQ(mp_work_settle(&w, MP_ITEM_VALUE, &(struct mp_parcel){.bytes = &jobs[i], .length = 1}), 0);
    }
    if (mp_work_done(&w) != 0) break;
  }
  mp_process_exit(pool->context, 0);
}

struct world {
  struct mp_context *c;
  struct mp_handle *pool;
  struct mp_supervisor s;
};

static struct world pool_of_workers(uint32_t workers) {
  struct world w;
  uint32_t number;
  CHECK_EQ(mp_context_open(&(struct mp_context_options){.memory = 64 << 20, .space = 256 << 20}, &w.c), 0);
  CHECK_EQ(mp_pool_new(w.c, &(struct mp_pool_options){.workers = workers}, &w.pool), 0);
  CHECK_EQ(mp_supervisor_start(w.pool, &w.s, &number), 0);
  if (number != 0) work_off(w.pool, &w.s);
  return w;
}

static uint64_t submit(struct world *w, const char *jobs, int64_t timeout, uint32_t retries) {
  uint64_t id;
  struct mp_task_options o = {(uint32_t)strlen(jobs), retries, timeout};
  CHECK_EQ(mp_pool_submit(w->pool, &(struct mp_parcel){.bytes = jobs, .length = o.count}, &o, &id), 0);
  return id;
}

/* Collects the next task; its items as letters: their value, L(ost), T(imeout), C(ancelled). */
static uint64_t collect(struct world *w, char *items, int *status) {
  struct mp_pool_result r;
  struct mp_item_cursor at = {0};
  struct mp_item item;
  CHECK_EQ(mp_pool_collect(w->pool, mp_in(5 * test_slow()), &r), 0);
  while (mp_pool_item(w->pool, &r, &at, &item)) {
    *items++ = item.kind == MP_ITEM_VALUE ? *(const char *)item.parcel.bytes : "VELTC"[item.kind];
    if (item.kind == MP_ITEM_LOST && status != NULL) *status = item.status;
  }
  *items = '\0';
  mp_pool_forget(w->pool, &r);
  return r.id;
}

static void end(struct world *w) {
  mp_pool_close(w->pool);
  mp_supervisor_notify(&w->s);
  CHECK_EQ(mp_supervisor_join(&w->s, mp_in(5 * test_slow())), 0);
  const char *wrong = mp_check_arena(w->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
  mp_supervisor_close(&w->s);
  w32_put(&w->pool->entry->held, 0);
  mp_handle_close(w->pool);
  mp_process_abandon(w->c);
  mp_context_close(w->c);
}

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
    CHECK_EQ(mp_pool_function_add(w.pool, &(struct mp_parcel){.bytes = &i, .length = sizeof i}, &number), 0);
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
