/* Pools whose creator dies: while making one, submitting, collecting, ending it. The survivor is a
** worker. */
#include "pool_task.h"

/* The victim is the creator, the survivor a worker. */
static void prepare_creator(struct crash_world *w) {
  struct mp_pool_options o = {.workers = 2};
  CHECK_EQ(mp_pool_new(w->victim, &o, &w->mine), 0);
  w->theirs = crash_open(w->other, w->mine);
  mp_work_ready(w->theirs);
}

static int create(struct crash_world *w, struct mp_context *c) {
  struct mp_pool_options o = {.workers = 2};
  return mp_pool_new(c, &o, &w->mine);
}

static void prepare_nothing(struct crash_world *w) {
  w->theirs = NULL;
}

static int submit_two(struct crash_world *w, struct mp_context *c) {
  uint64_t id;
  struct mp_ticket self = mp_handle_ticket(w->mine);
  struct mp_parcel p = text("one"), with_ticket = text("two");
  (void)c;
  with_ticket.tickets = &self;
  with_ticket.ticket_count = 1;
  int r = mp_pool_submit(w->mine, &p, &three_items, &id);
  return r != 0 ? r : mp_pool_submit(w->mine, &with_ticket, &three_items, &id);
}

static int cancel_in_line(struct crash_world *w, struct mp_context *c) {
  uint64_t id;
  struct mp_parcel p = text("one");
  (void)c;
  int r = mp_pool_submit(w->mine, &p, &three_items, &id);
  return r != 0 ? r : mp_pool_cancel(w->mine, id, false);
}

static int add_function(struct crash_world *w, struct mp_context *c) {
  struct mp_parcel p = text("function");
  uint32_t number;
  (void)c;
  return mp_pool_function_add(w->mine, &p, &number);
}

static void prepare_function(struct crash_world *w) {
  prepare_creator(w);
  CHECK_EQ(add_function(w, w->mine->context), 0);
}

static int drop_function(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_function_drop(w->mine, 1);
  return 0;
}

static void prepare_over(struct crash_world *w) {
  uint64_t id;
  struct mp_parcel p = text("what to do");
  prepare_creator(w);
  CHECK_EQ(mp_pool_submit(w->mine, &p, &three_items, &id), 0);
  CHECK_EQ(run_items(w->theirs, 4000), 0);
}

static int collect_and_forget(struct crash_world *w, struct mp_context *c) {
  struct mp_pool_result r;
  (void)c;
  int e = mp_pool_collect(w->mine, MP_NOW, &r);
  if (e == 0) mp_pool_forget(w->mine, &r);
  return e;
}

/* The workers learn that it is over, and with the last of them goes all memory. */
static void judge_end(struct crash_world *w, bool done) {
  struct mp_work work;
  (void)done;
  if (w->theirs != NULL) {
    CHECK_EQ(mp_pool_state(w->theirs), MP_POOL_TERMINATED);
    CHECK_EQ(mp_work_take(w->theirs, MP_NOW, &work), MP_CLOSED);
    w32_put(&w->theirs->entry->held, 0);
    w->theirs = mp_handle_close(w->theirs);
  }
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

#define CREATOR_TEST(name, what, prepare, operate)                                   \
  LONG_TEST(name, 200) {                                                             \
    crash_enumerate(&(struct crash_case){what, prepare, operate, judge_end});        \
  }

CREATOR_TEST(the_creator_dies_in_new, "pool new", prepare_nothing, create)
CREATOR_TEST(the_creator_dies_in_cancel, "pool cancel", prepare_creator, cancel_in_line)
CREATOR_TEST(the_creator_dies_in_function_add, "pool function", prepare_creator, add_function)
CREATOR_TEST(the_creator_dies_in_function_drop, "pool function drop", prepare_function,
             drop_function)
CREATOR_TEST(the_creator_dies_in_collect, "pool collect, forget", prepare_over, collect_and_forget)

/* The second task mentions the pool itself, a cycle: the pool outlives its last handle. */
static void judge_submit(struct crash_world *w, bool done) {
  struct mp_work work;
  (void)done;
  CHECK_EQ(mp_pool_state(w->theirs), MP_POOL_TERMINATED);
  CHECK_EQ(mp_work_take(w->theirs, MP_NOW, &work), MP_CLOSED);
}

LONG_TEST(the_creator_dies_in_submit, 200) {
  crash_enumerate(&(struct crash_case){"pool submit", prepare_creator, submit_two, judge_submit});
}

static int close_pool(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_close(w->mine);
  return 0;
}
static int terminate_pool(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_terminate(w->mine);
  return 0;
}
static int kill_pool(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_kill(w->mine);
  return 0;
}
/* The supervisor never sees that it is over, and not yet how. */
static void look_how(struct crash_world *w) {
  bool over = mp_pool_state(w->theirs) == MP_POOL_TERMINATED;
  CHECK(!over || w32_get(&pool_of(w->theirs)->killing));
}
static void prepare_kill(struct crash_world *w) {
  prepare_creator(w);
  w->meanwhile = look_how;
}
static int leave_pool(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_leave(w->mine);
  return 0;
}
static int collect_waiting(struct crash_world *w, struct mp_context *c) {
  struct mp_pool_result r;
  (void)c;
  return mp_pool_collect(w->mine, CRASH_NAP, &r);
}

static int cancel_waiting(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_cancel_waiting(w->mine);
  return 0;
}
/* Two wait in line. */
static void prepare_line(struct crash_world *w) {
  uint64_t id;
  struct mp_parcel p = text("what to do");
  prepare_creator(w);
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_pool_submit(w->mine, &p, &three_items, &id), 0);
}
static int collect_many(struct crash_world *w, struct mp_context *c) {
  struct mp_pool_result r;
  (void)c;
  return mp_pool_collect_many(w->mine, 2, CRASH_NAP, &r);
}

/* The creator's own end, with a task in line: the pool is as it was, or closed and parted from; the
** victim's handle stays its creator's, so its death ends the pool in any case. */
static int part(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_pool_part(w->mine);
  return 0;
}
static void judge_part(struct crash_world *w, bool done) {
  enum mp_pool_state s = mp_pool_state(w->theirs);
  CHECK(s == MP_POOL_TERMINATED || s == MP_POOL_CLOSED);
  if (s == MP_POOL_CLOSED) mp_pool_terminate(w->theirs);
  judge_end(w, done);
}

CREATOR_TEST(the_creator_dies_in_cancel_of_all, "pool cancel, all in line", prepare_line,
             cancel_waiting)
CREATOR_TEST(the_creator_dies_in_a_collect_of_many, "pool collect, many", prepare_line,
             collect_many)
LONG_TEST(the_creator_dies_in_part, 200) {
  crash_enumerate(&(struct crash_case){"pool part", prepare_line, part, judge_part});
}
CREATOR_TEST(the_creator_dies_in_close, "pool close", prepare_creator, close_pool)
CREATOR_TEST(the_creator_dies_in_terminate, "pool terminate", prepare_creator, terminate_pool)
CREATOR_TEST(the_creator_dies_in_kill, "pool kill", prepare_kill, kill_pool)
CREATOR_TEST(the_creator_dies_in_leave, "pool leave", prepare_over, leave_pool)
CREATOR_TEST(the_creator_dies_in_a_collect_that_waits, "pool collect, nothing", prepare_creator,
             collect_waiting)
