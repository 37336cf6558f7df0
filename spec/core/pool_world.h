/*
** A pool with real processes, for C tests: workers whose jobs are letters, and which die, or are
** stopped, at a point of one's choice.
*/
#ifndef SPEC_CORE_POOL_WORLD_H
#define SPEC_CORE_POOL_WORLD_H

#include "../../src/core/pool.h"
#include "../../src/core/mutex.h"
#include "../../src/core/process.h"
#include "test.h"

/* A job is one byte: what a worker is to do with it. PAUSE: it stops, and gives a value when it is
** continued. FREEZE: it stops, and GONE: it dies, at a store of what it does next (world_plan).
** STAY: it sleeps and does not hear SIGTERM; then it is the plan's victim.
** MIDDLE: two of its values fill an area, but for one ending.
** EARLY, as a task's first job: it stops before it could tell the supervisor that it has the
** task. */
enum job { ECHO = 'e', SLEEP = 's', DIE = 'd', EXIT = 'x', PAUSE = 'p', FREEZE = 'f', GONE = 'g',
           EARLY = 'y', LARGE = 'l', GROW = 'm', TICK = 't', STAY = 'i',
           MIDDLE = 'h' };

/* Shared with the workers: where to strike. */
struct plan {
  volatile long store;    /* the how manyth store from the job on, of those that count */
  volatile bool anywhere; /* all stores count; else those where others may have to wait */
  volatile bool inside;   /* it struck in such a place */
  volatile bool off;      /* it is too late to strike */
  volatile pid_t victim;  /* whom it struck, or 0 */
};

__attribute__((unused)) static struct plan *world_plan;
static _Thread_local struct mp_context *struck;
static _Thread_local long stores_left;
static _Thread_local int struck_by;

/* Does this participant hold an internal mutex, or clean up after somebody? */
TEST_TOOL bool world_detains(const struct mp_context *c) {
  uint64_t want = w64_get(&c->slot->want);
  if (want != 0 && mp_mutex_mine(c, (const mp_mutex *)(const void *)(c->arena.base + want)))
    return true;
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++)
    if (w32_get(&mp_slot_at(&c->arena, i)->cleaner) == c->tag) return true;
  return false;
}

TEST_TOOL void world_strike(const char *file, int line) {
  (void)file;
  (void)line;
  bool inside = world_detains(struck);
  if ((!inside && !world_plan->anywhere) || --stores_left > 0 || world_plan->off) return;
  mp_crash_hook = NULL;
  world_plan->inside = inside;
  world_plan->victim = getpid();
  raise(struck_by);
}

TEST_TOOL void world_arm(struct mp_context *c, int signal_number) {
  struck = c;
  struck_by = signal_number;
  stores_left = world_plan->store;
  mp_crash_hook = world_strike;
}

TEST_TOOL void work_job(struct mp_handle *pool, char job) {
  static char *kept;
  if (job == STAY) {
    signal(SIGTERM, SIG_IGN);
    world_plan->victim = getpid();
  }
  if (job == SLEEP || job == STAY) test_sleep(60);
  if (job == TICK) test_sleep(0.002);
  if (job == DIE) raise(SIGKILL);
  if (job == EXIT) mp_process_exit(pool->context, 7);
  if (job == PAUSE) raise(SIGSTOP);
  if (job == FREEZE) world_arm(pool->context, SIGSTOP);
  if (job == GONE) world_arm(pool->context, SIGKILL);
  if (job == GROW) {
    kept = malloc(64 << 20);
    for (int i = 0; i < 64 << 20; i += 512) *(volatile char *)(kept + i) = 1;
    test_sleep(60);
  }
}

TEST_TOOL void work_off(struct mp_handle *pool, struct mp_supervisor *s) {
  static char large[5000];
  struct mp_work w;
  mp_work_ready(pool);
  while (mp_work_take(pool, MP_FOREVER, &w) == 0) {
    const char *jobs = w.parcel.bytes;
    if (jobs[0] == EARLY) raise(SIGSTOP);
    if (w.notifies) mp_supervisor_notify(s);
    for (uint32_t i = w.first; i < w.count; i++) {
      work_job(pool, jobs[i]);
      large[0] = jobs[i];
      bool is_large = jobs[i] == LARGE || jobs[i] == FREEZE || jobs[i] == GONE;
      size_t length = jobs[i] == MIDDLE ? 2036 : 1;
      struct mp_parcel p = {.bytes = large, .length = is_large ? sizeof large : length};
      CHECK_EQ(mp_work_settle(&w, MP_ITEM_VALUE, &p), 0);
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

TEST_TOOL struct world world_of(const struct mp_pool_options *o) {
  struct world w;
  uint32_t number;
  world_plan = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(world_plan != MAP_FAILED);
  CHECK_EQ(
      mp_context_open(&(struct mp_context_options){.memory = 64 << 20, .space = 256 << 20}, &w.c),
      0);
  CHECK_EQ(mp_pool_new(w.c, o, &w.pool), 0);
  CHECK_EQ(mp_supervisor_start(w.pool, &w.s, &number), 0);
  if (number != 0) work_off(w.pool, &w.s);
  return w;
}

TEST_TOOL struct world pool_of_workers(uint32_t workers) {
  return world_of(&(struct mp_pool_options){.workers = workers});
}

TEST_TOOL uint64_t submit(struct world *w, const char *jobs, int64_t timeout, uint32_t retries) {
  uint64_t id;
  struct mp_task_options o = {(uint32_t)strlen(jobs), retries, timeout};
  CHECK_EQ(mp_pool_submit(w->pool, &(struct mp_parcel){.bytes = jobs, .length = o.count}, &o, &id),
           0);
  return id;
}

/* Collects the next task; its items as letters: their value, L(ost), T(imeout), C(ancelled),
** M(emory). */
TEST_TOOL uint64_t collect(struct world *w, char *items, int *status) {
  struct mp_pool_result r;
  struct mp_item_cursor at = {0};
  struct mp_item item;
  CHECK_EQ(mp_pool_collect(w->pool, mp_in(5 * test_slow()), &r), 0);
  while (mp_pool_item(w->pool, &r, &at, &item)) {
    *items++ = item.kind == MP_ITEM_VALUE ? *(const char *)item.parcel.bytes : "VELTCM"[item.kind];
    if (item.kind > MP_ITEM_ERROR && status != NULL) *status = item.status;
  }
  *items = '\0';
  mp_pool_forget(w->pool, &r);
  return r.id;
}

TEST_TOOL void end(struct world *w) {
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
  munmap(world_plan, 4096);
}

#endif
