/* Pools, and whoever dies with a task in hand, or while supervising. */
#include "pool_task.h"

/* note[0]: id of the task under test */
static void submit(struct crash_world *w, const struct mp_task_options *o) {
  uint64_t id;
  struct mp_parcel p = text("what to do");
  CHECK_EQ(mp_pool_submit(w->theirs, &p, o, &id), 0);
  w->note[0] = (intptr_t)id;
}

/* The survivor is the creator, the victim a worker. */
static void prepare_worker(struct crash_world *w) {
  struct mp_pool_options o = {.workers = 2};
  CHECK_EQ(mp_pool_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  mp_work_ready(w->mine);
  submit(w, &three_items);
}

static void prepare_worker_with_retry(struct crash_world *w) {
  struct mp_pool_options o = {.workers = 2};
  CHECK_EQ(mp_pool_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  mp_work_ready(w->mine);
  submit(w, &(struct mp_task_options){.count = ITEMS, .retries = 1});
}

static int work_small(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return run_items(w->mine, 1);
}
static int work_that_needs_areas(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return run_items(w->mine, 1500);
}
static int work_with_messages(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return run_items(w->mine, 4000);
}

/* Another worker does the rest; the creator gets every item once, and at most `lost` lost ones. */
static void finish_and_collect(struct crash_world *w, int most_lost) {
  struct mp_handle *worker = crash_open(w->extra, w->theirs);
  struct mp_pool_result r;
  struct mp_item_cursor at = {0};
  struct mp_item item;
  int items = 0, lost = 0;
  mp_work_ready(worker);
  while (run_items(worker, 1) == 0) {}
  CHECK_EQ(mp_pool_collect(w->theirs, MP_NOW, &r), 0);
  CHECK_EQ(r.id, (uint64_t)w->note[0]);
  CHECK_EQ(r.settled, ITEMS);
  for (; mp_pool_item(w->theirs, &r, &at, &item); items++) {
    if (item.kind == MP_ITEM_LOST || item.kind == MP_ITEM_MEMORY)
      lost++;
    else
      CHECK(item.kind == MP_ITEM_VALUE && *(const char *)item.parcel.bytes == '0' + items);
  }
  CHECK_EQ(items, ITEMS);
  CHECK(lost <= most_lost);
  mp_pool_forget(w->theirs, &r);
  CHECK_EQ(mp_pool_collect(w->theirs, MP_NOW, &r), MP_EMPTY);
  struct mp_pool_stats s = mp_pool_stats(w->theirs);
  CHECK(s.waiting == 0 && s.running == 0 && s.done == 1);
}

static void judge_one_item(struct crash_world *w, bool done) {
  finish_and_collect(w, done ? 0 : 1);
}
static void judge_no_item(struct crash_world *w, bool done) {
  (void)done;
  finish_and_collect(w, 0);
}

LONG_TEST(a_worker_dies, 200) {
  crash_enumerate(&(struct crash_case){"pool work", prepare_worker, work_small, judge_one_item});
}
LONG_TEST(a_worker_dies_and_its_item_is_run_again, 200) {
  crash_enumerate(
      &(struct crash_case){"pool retry", prepare_worker_with_retry, work_small, judge_no_item});
}
LONG_TEST(a_worker_dies_with_results_that_need_room, 200) {
  crash_enumerate_steps(
      &(struct crash_case){"pool areas", prepare_worker, work_that_needs_areas, judge_one_item});
}
LONG_TEST(a_worker_dies_with_results_in_messages, 200) {
  crash_enumerate_steps(
      &(struct crash_case){"pool messages", prepare_worker, work_with_messages, judge_one_item});
}

/* An item has ended already, and took the room that the area keeps for an ending. */
static void prepare_task_without_room(struct crash_world *w) {
  prepare_worker(w);
  struct mp_context *c = w->theirs->context;
  struct pool *p = pool_of(w->theirs);
  struct task *t = task_at(c, w32_get(&p->todo));
  struct item_area *a = area_at(c, w32_get(&t->last_area));
  mp_mutex_lock(c, &p->object.lock);
  mp_item_end(c, t, MP_ITEM_LOST, 1, 9);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  w32_put(&a->room, area_bytes(a));
}
/* Without memory the rest ends as that item did, and nothing is left to take. */
static int work_after_room(struct crash_world *w, struct mp_context *c) {
  (void)c;
  int r = run_items(w->mine, 1);
  return r == MP_TIMEOUT ? 0 : r;
}
static void judge_some_items(struct crash_world *w, bool done) {
  (void)done;
  finish_and_collect(w, ITEMS);
}

LONG_TEST(a_worker_dies_as_it_makes_room, 200) {
  crash_enumerate_steps(&(struct crash_case){"pool room", prepare_task_without_room,
                                             work_after_room, judge_some_items});
}

/* What the supervisor does to a task in hand whose worker is too large. False: nothing is in
** hand. */
static bool condemn(struct mp_handle *pool) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  mp_ref ref = w32_get(&p->running);
  if (ref != MP_NONE) {
    mp_task_condemn(c, task_at(c, ref), TASK_KILL_MEMORY);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &p->object.lock);
  return ref != MP_NONE;
}

/* It was marked before it died. */
static void condemn_the_dead(struct crash_world *w) {
  (void)condemn(w->theirs);
}

static void prepare_large_worker(struct crash_world *w) {
  prepare_worker(w);
  w->meanwhile = condemn_the_dead;
}
static void prepare_large_worker_with_retry(struct crash_world *w) {
  prepare_worker_with_retry(w);
  w->meanwhile = condemn_the_dead;
}

LONG_TEST(a_worker_is_killed_for_its_size, 200) {
  crash_enumerate(
      &(struct crash_case){"pool large worker", prepare_large_worker, work_small, judge_one_item});
}
LONG_TEST(a_worker_is_killed_for_its_size_and_its_item_is_run_again, 200) {
  crash_enumerate(&(struct crash_case){"pool large worker, retry", prepare_large_worker_with_retry,
                                       work_small, judge_no_item});
}

/* The victim is the supervisor, which marks the task that `extra` has taken. */
static void prepare_supervisor(struct crash_world *w) {
  struct mp_pool_options o = {.workers = 2};
  struct mp_work work;
  CHECK_EQ(mp_pool_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  struct mp_handle *worker = crash_open(w->extra, w->theirs);
  mp_work_ready(worker);
  submit(w, &(struct mp_task_options){.count = 1});
  CHECK_EQ(mp_work_take(worker, MP_NOW, &work), 0);
}

static int condemn_task(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return condemn(w->mine) ? 0 : -ENOENT;
}

/* The worker is killed, with or without a mark. */
static void judge_marked(struct crash_world *w, bool done) {
  struct mp_pool_result r;
  struct mp_item_cursor at = {0};
  struct mp_item item;
  crash_abandon(w->other, w->extra);
  mp_context_tend(w->other, true);
  CHECK_EQ(mp_pool_collect(w->theirs, MP_NOW, &r), 0);
  CHECK(mp_pool_item(w->theirs, &r, &at, &item));
  CHECK(item.kind == MP_ITEM_MEMORY || (item.kind == MP_ITEM_LOST && !done));
  CHECK(!mp_pool_item(w->theirs, &r, &at, &item));
  mp_pool_forget(w->theirs, &r);
  w->extra->guard_value = 0; /* dead: only its private memory is freed */
}

LONG_TEST(the_supervisor_dies_as_it_marks_a_task, 200) {
  crash_enumerate(
      &(struct crash_case){"pool mark", prepare_supervisor, condemn_task, judge_marked});
}

/* The supervisor's handle: its death breaks the pool, and so does its giving up. */
static int break_pool(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_break(w->mine, 0);
  return 0;
}
static void judge_break(struct crash_world *w, bool done) {
  CHECK(mp_pool_state(w->theirs) == MP_POOL_BROKEN || !done);
  mp_pool_leave(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}
LONG_TEST(who_breaks_a_pool_dies, 200) {
  crash_enumerate(&(struct crash_case){"pool break", prepare_worker, break_pool, judge_break});
}

/* ---- a worker without a task, and one whose task has a time limit or is cancelled ---- */

static int initializer_failed(struct crash_world *w, struct mp_context *c) {
  struct mp_parcel p = text("a message that is longer than fits into any line of a slot's handles");
  (void)c;
  return mp_work_initializer_failed(w->mine, &p);
}
static void judge_initializer(struct crash_world *w, bool done) {
  struct mp_parcel p;
  bool there = mp_pool_initializer_error(w->theirs, &p);
  CHECK(there || !done);
  judge_no_item(w, done);
}
static void prepare_idle(struct crash_world *w) {
  struct mp_pool_options o = {.workers = 2};
  CHECK_EQ(mp_pool_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  mp_work_ready(w->mine);
}
static int take_waiting(struct crash_world *w, struct mp_context *c) {
  struct mp_work work;
  (void)c;
  return mp_work_take(w->mine, CRASH_NAP, &work);
}
static void judge_idle(struct crash_world *w, bool done) {
  CHECK(!done || w->result == MP_TIMEOUT);
  submit(w, &three_items);
  judge_no_item(w, true);
}
static void prepare_timed(struct crash_world *w) {
  prepare_idle(w);
  submit(w, &(struct mp_task_options){.count = ITEMS, .timeout = INT64_C(3600000000000)});
}

/* It runs, and somebody has it killed: the victim is that somebody, the extra one works. */
static void prepare_running(struct crash_world *w) {
  struct mp_work work;
  prepare_idle(w);
  struct mp_handle *worker = crash_open(w->extra, w->theirs);
  mp_work_ready(worker);
  submit(w, &three_items);
  CHECK_EQ(mp_work_take(worker, MP_NOW, &work), 0);
}
static int cancel_running(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_pool_cancel(w->mine, (uint64_t)w->note[0], true);
}
/* Its worker ends: the task is cancelled, or its item lost and the rest done by another. */
static void judge_cancelled(struct crash_world *w, bool done) {
  struct mp_pool_result r;
  struct mp_item_cursor at = {0};
  struct mp_item item;
  w->extra = mp_context_close(w->extra);
  int e = mp_pool_collect(w->theirs, MP_NOW, &r);
  CHECK(e == 0 || (e == MP_EMPTY && !done));
  if (e == 0) {
    CHECK(mp_pool_item(w->theirs, &r, &at, &item) && item.kind == MP_ITEM_CANCELLED);
    mp_pool_forget(w->theirs, &r);
  }
  struct mp_pool_stats s = mp_pool_stats(w->theirs);
  CHECK(s.running == 0 && s.waiting == (e == 0 ? 0u : 1u));
}

LONG_TEST(a_worker_dies_as_its_initializer_fails, 200) {
  crash_enumerate(&(struct crash_case){"pool initializer failed", prepare_worker,
                                       initializer_failed, judge_initializer});
}
LONG_TEST(a_worker_dies_as_it_waits, 200) {
  crash_enumerate(
      &(struct crash_case){"pool take, nothing", prepare_idle, take_waiting, judge_idle});
}
LONG_TEST(a_worker_dies_in_a_task_with_a_time_limit, 200) {
  crash_enumerate(
      &(struct crash_case){"pool work, timed", prepare_timed, work_small, judge_one_item});
}
LONG_TEST(who_has_a_running_task_killed_dies, 200) {
  crash_enumerate(&(struct crash_case){"pool cancel, running", prepare_running, cancel_running,
                                       judge_cancelled});
}
