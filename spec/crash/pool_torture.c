/*
** A pool under fire: its creator submits tasks, a killer kills workers and stops some for a while,
** and each item of each task must be settled exactly once, in order, with its own value or as lost;
** at most as many are lost as workers were killed or stopped, and when the pool has ended no memory
** is left. All that once more where memory is used up now and then: then items may end as an error,
** or as lost with the worker that could not even say so.
**
**     make crash SECONDS=60 SEED=7
*/
#include "../../src/core/pool.h"
#include "../../src/core/process.h"
#include "../core/test.h"
#include "hoard.h"

#define WORKERS 6u
#define ITEMS 20u
#define OPEN 64u         /* tasks under way at once */
#define STRIKE 0.020     /* seconds at most from one kill to the next */
#define STOP 0.300       /* seconds at most that a worker is stopped, one at a time */
#define PROMPTLY (2 * test_slow())
#define MEMORY (128u << 20)
#define PADDING 3000u    /* bytes at most of a value, where memory is scarce */

struct task { /* what is sent, and, for one item, what comes back */
  uint32_t serial, count, item;
};

struct board { /* shared with the workers */
  volatile pid_t pid[WORKERS];
  volatile uint32_t next;
  volatile uint64_t refused; /* results for want of memory */
};

struct fire {
  struct mp_context *c;
  struct mp_handle *pool;
  struct mp_supervisor s;
  struct board *board;
  uint64_t random, id[OPEN]; /* 0: nothing under way here */
  struct task task[OPEN];
  uint32_t serial;
  uint64_t kills, stops, tasks, items, lost;
  pid_t stopped; /* or 0 */
  double go_on;  /* when it is continued */
  bool scarce; /* memory is used up now and then, by this */
  struct hoard hoard;
  bool cheats; /* a worker tells of another item now and then: must be found */
};

static uint32_t dice(struct fire *f, uint32_t n) {
  f->random ^= f->random << 13;
  f->random ^= f->random >> 7;
  f->random ^= f->random << 17;
  return (uint32_t)(f->random >> 20) % n;
}

/* ---- workers ---- */

/* Settles an item with its value or, without memory for that, with an error. */
static void settle(struct fire *f, struct mp_work *w, const struct task *t) {
  char bytes[sizeof *t + PADDING] = "";
  mp_parcel p = {.bytes = bytes, .length = sizeof *t + (f->scarce ? dice(f, PADDING) : 0)};
  memcpy(bytes, t, sizeof *t);
  int r = mp_work_settle(w, MP_ITEM_VALUE, &p);
  if (r == -ENOMEM && f->scarce) {
    (void)__sync_fetch_and_add(&f->board->refused, 1);
    p.length = sizeof *t;
    r = mp_work_settle(w, MP_ITEM_ERROR, &p);
    if (r == -ENOMEM) mp_process_exit(f->c, 1);
  }
  CHECK_EQ(r, 0);
}

static void work(struct fire *f) {
  struct mp_work w;
  f->board->pid[__sync_fetch_and_add(&f->board->next, 1) % WORKERS] = getpid();
  f->random += (uint64_t)getpid() * 77;
  mp_work_ready(f->pool);
  while (mp_work_take(f->pool, MP_FOREVER, &w) == 0) {
    struct task t;
    CHECK_EQ(w.parcel.length, sizeof t);
    memcpy(&t, w.parcel.bytes, sizeof t);
    CHECK_EQ(t.count, w.count);
    for (uint32_t i = w.first; i < w.count; i++) {
      if (dice(f, 8) == 0) test_sleep(0.0005);
      t.item = f->cheats && dice(f, 100) == 0 ? i + 1 : i;
      settle(f, &w, &t);
    }
    if (mp_work_done(&w) != 0) break;
  }
  mp_process_exit(f->c, 0);
}

/* ---- the creator ---- */

static void fire_begin(struct fire *f, bool scarce) {
  struct mp_context_options o = {.memory = MEMORY, .space = 512 << 20};
  const char *seed = getenv("SEED");
  uint32_t number;
  f->random = (seed != NULL ? (uint64_t)atol(seed) : 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
  f->board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(f->board != MAP_FAILED);
  CHECK_EQ(mp_context_open(&o, &f->c), 0);
  f->scarce = scarce;
  f->hoard = hoard_new(f->c, MEMORY);
  CHECK_EQ(mp_pool_new(f->c, &(struct mp_pool_options){.workers = WORKERS}, &f->pool), 0);
  CHECK_EQ(mp_supervisor_start(f->pool, &f->s, &number), 0);
  if (number != 0) work(f);
}

static void submit(struct fire *f, uint32_t i) {
  struct task t = {++f->serial, 1 + dice(f, ITEMS), 0};
  struct mp_task_options o = {.count = t.count, .retries = dice(f, 4)};
  mp_parcel p = {.bytes = &t, .length = sizeof t};
  int r = mp_pool_submit(f->pool, &p, &o, &f->id[i]);
  if (r != -ENOMEM || !f->scarce) CHECK_EQ(r, 0);
  f->task[i] = t;
}

static uint32_t place_of(const struct fire *f, uint64_t id) {
  for (uint32_t i = 0; i < OPEN; i++)
    if (f->id[i] == id) return i;
  test_fail(__FILE__, __LINE__, "a task was over twice, or never began");
}

/* All items, each its own, in order. */
static void judge(struct fire *f, const struct mp_pool_result *r) {
  struct mp_item_cursor at = {0};
  struct mp_item item;
  struct task t, *own = &f->task[place_of(f, r->id)];
  uint32_t n = 0;
  for (; mp_pool_item(f->pool, r, &at, &item); n++) {
    CHECK(item.kind == MP_ITEM_VALUE || item.kind == MP_ITEM_LOST ||
          (item.kind == MP_ITEM_ERROR && f->scarce));
    f->lost += item.kind == MP_ITEM_LOST;
    if (item.kind == MP_ITEM_LOST) continue;
    CHECK(item.parcel.length >= sizeof t);
    memcpy(&t, item.parcel.bytes, sizeof t);
    if (t.serial != own->serial || t.item != n)
      test_fail(__FILE__, __LINE__, "an item of another task or place");
  }
  CHECK_EQ(n, own->count);
  f->items += n;
  f->tasks++;
  f->id[place_of(f, r->id)] = 0;
  mp_pool_forget(f->pool, r);
}

/* Continues the one that is stopped, if it was not killed for that. A pid that came back is one of
** ours, or may not be told anything. */
static void let_go(struct fire *f) {
  if (f->stopped != 0) (void)kill(f->stopped, SIGCONT);
  f->stopped = 0;
}

static void strike(struct fire *f) {
  if (f->scarce) (dice(f, 2) == 0 ? hoard_fill : hoard_empty)(&f->hoard);
  pid_t pid = f->board->pid[dice(f, WORKERS)];
  bool stop = f->stopped == 0 && dice(f, 4) == 0;
  if (pid == 0 || kill(pid, stop ? SIGSTOP : SIGKILL) != 0) return;
  if (!stop) {
    f->kills++;
    return;
  }
  f->stops++;
  f->stopped = pid;
  f->go_on = test_now() + STOP * dice(f, 1000) / 1000;
}

/* Tasks go out and come back until `end`; then all come back. */
static void fire(struct fire *f, double end) {
  struct mp_pool_result r;
  double next = test_now() + 0.1;
  for (uint32_t open = 1; test_now() < end || open > 0;) {
    open = 0;
    for (uint32_t i = 0; i < OPEN; i++) {
      if (f->id[i] == 0 && test_now() < end) submit(f, i);
      open += f->id[i] != 0;
    }
    int got = mp_pool_collect(f->pool, mp_in(0.002), &r);
    CHECK(got == 0 || got == MP_TIMEOUT);
    if (got == 0) judge(f, &r);
    if (test_now() > end + 5 * PROMPTLY)
      test_fail(__FILE__, __LINE__, "%u tasks never ended", open);
    if (test_now() > f->go_on || test_now() > end) let_go(f);
    if (test_now() > end && f->scarce) hoard_empty(&f->hoard);
    if (test_now() < next || test_now() > end) continue;
    strike(f);
    next = test_now() + STRIKE * dice(f, 1000) / 1000;
  }
}

static void check_arena(struct fire *f) {
  const char *wrong = mp_check_arena(f->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

/* Workers of a killed supervisor are killed by the kernel, which may take a moment: until then what
** they have is theirs. */
static int is_alone(void *fire) {
  struct mp_context *c = ((struct fire *)fire)->c;
  mp_context_tend(c, true);
  uint32_t others = 0, high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++)
    others += mp_slot_at(&c->arena, i) != c->slot && w64_get(&mp_slot_at(&c->arena, i)->who) != 0;
  return others == 0;
}

static void fire_end(struct fire *f) {
  CHECK_EQ(mp_supervisor_join(&f->s, mp_in(PROMPTLY)), 0);
  mp_supervisor_close(&f->s);
  CHECK(test_eventually(is_alone, f));
  check_arena(f);
  w32_put(&f->pool->entry->held, 0);
  mp_handle_close(f->pool);
  mp_process_abandon(f->c);
  uint64_t refused = f->board->refused;
  CHECK((refused > 0) == f->scarce);
  mp_queue_close(f->hoard.queue);
  mp_object_reap(f->c);
  mp_heap_flush(f->c);
  check_arena(f);
  CHECK_EQ(mp_heap_usage(f->c).allocated, 0);
  mp_context_close(f->c);
  munmap(f->board, 4096);
  if (!f->scarce && f->lost > f->kills + f->stops)
    test_fail(__FILE__, __LINE__, "more items were lost than workers killed or stopped");
  printf("pool torture: %ju kills, %ju stops, %ju tasks, %ju items, %ju lost, "
         "%ju results without memory\n",
         (uintmax_t)f->kills, (uintmax_t)f->stops, (uintmax_t)f->tasks, (uintmax_t)f->items,
         (uintmax_t)f->lost, (uintmax_t)refused);
}

static void fire_as_told(bool scarce) {
  static struct fire f;
  const char *s = getenv("SECONDS");
  fire_begin(&f, scarce);
  fire(&f, test_now() + (s != NULL && atol(s) > 0 ? (double)atol(s) : 10) / 2);
  mp_pool_close(f.pool);
  mp_supervisor_notify(&f.s);
  fire_end(&f);
}

LONG_TEST(each_item_is_settled_once, 3600) {
  fire_as_told(false);
}

LONG_TEST(so_it_is_where_memory_is_used_up, 3600) {
  fire_as_told(true);
}

/* Whoever waits for a task is told at once that none will come any more. */
LONG_TEST(a_killed_supervisor_breaks_the_pool, 30) {
  static struct fire f;
  struct mp_pool_result r;
  fire_begin(&f, false);
  fire(&f, test_now() + 0.5);
  CHECK_EQ(kill(mp_process_id(f.s.process), SIGKILL), 0);
  double begin = test_now();
  CHECK_EQ(mp_pool_collect(f.pool, mp_in(20), &r), MP_BROKEN);
  CHECK(test_now() - begin < PROMPTLY);
  fire_end(&f);
}

MUST_FAIL(an_item_in_another_place, 30, "an item of another task or place") {
  static struct fire f;
  f.cheats = true;
  fire_begin(&f, false);
  fire(&f, test_now() + 2);
  fire_end(&f);
}
