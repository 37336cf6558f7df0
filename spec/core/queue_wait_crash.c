/* Queues that somebody waits at, and whoever dies in the middle of it: waits in vain, waits that
** succeed, and operations that wake. */
#include "queue_world.h"

static struct crash_world *world;
static struct mp_handle *third; /* the extra one's */

/* What the other one does while the victim naps, once. */
static void (*help)(struct crash_world *w);

static void help_aside(struct mp_context *c) {
  (void)c;
  if (world->note[7]++ == 0) crash_aside(help, world);
}

static void helped(struct crash_world *w, void (*act)(struct crash_world *w)) {
  world = w;
  help = act;
  w->victim->tend = help_aside;
}

static int put_within(mp_queue *q, uint64_t n, mp_deadline until) {
  unsigned char bytes[LARGE];
  memset(bytes, (int)n, sizeof bytes);
  mp_parcel p = {.bytes = bytes, .length = n % 2 == 0 ? LARGE : SMALL};
  return mp_queue_put(q, &p, until);
}

static int get_within(struct mp_handle *q, mp_deadline until) {
  mp_letter l;
  int r = mp_queue_get(q, until, &l);
  if (r == 0) mp_letter_free(q->context, &l);
  return r;
}

/* ---- for room ---- */

static void prepare_full(struct crash_world *w) {
  make_queue(w, 3, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 3, true);
}

static void take_theirs(struct crash_world *w) {
  CHECK_EQ(take_one(w), 1);
  w->note[0] = 1;
}

static void prepare_room_in_time(struct crash_world *w) {
  prepare_full(w);
  helped(w, take_theirs);
}

static int put_waiting(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return put_within(w->mine, 4, CRASH_NAP);
}

/* As many as there was room for, in order. note[0]: how many were taken. */
static void judge_put_waiting(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs), taken = (uint64_t)w->note[0];
  CHECK(n == 3 - taken || (n == 3 && taken == 1));
  if (done) CHECK_EQ(w->result, taken == 1 ? 0 : MP_TIMEOUT);
  if (done) CHECK_EQ(n, 3);
  for (unsigned i = (unsigned)taken + 1; n > 0; i++, n--) CHECK_EQ(take_one(w), i);
  CHECK_EQ(take_one(w), 0);
  check_baseline(w);
}

LONG_TEST(a_death_in_a_wait_for_room, 300) {
  ENUMERATE("queue put, no room", prepare_full, put_waiting, judge_put_waiting);
}
LONG_TEST(a_death_in_a_wait_for_room_that_succeeds, 300) {
  ENUMERATE("queue put, room in time", prepare_room_in_time, put_waiting, judge_put_waiting);
}

/* ---- for messages ---- */

static void prepare_empty(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
}

static void put_theirs(struct crash_world *w) {
  CHECK_EQ(put_message(w->theirs, 1, LARGE), 0);
  w->note[0] = 1;
}

static void prepare_message_in_time(struct crash_world *w) {
  prepare_empty(w);
  helped(w, put_theirs);
}

static int get_waiting(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return get_within(w->mine, CRASH_NAP);
}

static void judge_get_waiting(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs), put = (uint64_t)w->note[0];
  CHECK(n <= put);
  if (done) CHECK_EQ(w->result, put == 1 ? 0 : MP_TIMEOUT);
  if (done) CHECK_EQ(n, 0);
  if (n == 1) CHECK_EQ(take_one(w), 1);
  check_holds(w, 1, 0);
  check_baseline(w);
}

LONG_TEST(a_death_in_a_wait_for_a_message, 300) {
  ENUMERATE("queue get, empty", prepare_empty, get_waiting, judge_get_waiting);
}
LONG_TEST(a_death_in_a_wait_for_a_message_that_succeeds, 300) {
  ENUMERATE("queue get, message in time", prepare_message_in_time, get_waiting, judge_get_waiting);
}

/* ---- operations that wake: somebody has slept, and is announced still ---- */

static void prepare_getter(struct crash_world *w) {
  prepare_empty(w);
  third = crash_open(w->extra, w->theirs);
  CHECK_EQ(get_within(third, CRASH_NAP), MP_TIMEOUT);
}

static int put_one(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return put_within(w->mine, 1, MP_NOW);
}

static void judge_one_or_none(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 1 || (n == 0 && !done));
  CHECK_EQ(get_within(third, MP_NOW), n == 1 ? 0 : MP_EMPTY);
  third = mp_queue_close(third);
  check_holds(w, 1, 0);
  check_baseline(w);
}

static void prepare_putter(struct crash_world *w) {
  prepare_full(w);
  third = crash_open(w->extra, w->theirs);
  CHECK_EQ(put_within(third, 4, mp_in(0.003)), MP_TIMEOUT);
}

static int get_one(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return get_within(w->mine, MP_NOW);
}

static void judge_room(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 2 || (n == 3 && !done));
  CHECK_EQ(put_within(third, 4, MP_NOW), n == 2 ? 0 : MP_FULL);
  third = mp_queue_close(third);
  for (unsigned i = n == 2 ? 2 : 1; i <= (n == 2 ? 4 : 3); i++) CHECK_EQ(take_one(w), i);
  CHECK_EQ(take_one(w), 0);
  check_baseline(w);
}

static int shut_down(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_queue_shutdown(w->mine, 0);
  return 0;
}

static void judge_shut_down(struct crash_world *w, bool done) {
  int r = get_within(third, MP_NOW);
  CHECK(r == MP_CLOSED || (r == MP_EMPTY && !done));
  third = mp_queue_close(third);
  check_baseline(w);
}

LONG_TEST(a_death_in_a_put_that_wakes, 300) {
  ENUMERATE("queue put that wakes", prepare_getter, put_one, judge_one_or_none);
}
LONG_TEST(a_death_in_a_get_that_wakes, 300) {
  ENUMERATE("queue get that wakes", prepare_putter, get_one, judge_room);
}
LONG_TEST(a_death_in_a_shutdown_that_wakes, 300) {
  ENUMERATE("queue shut down that wakes", prepare_getter, shut_down, judge_shut_down);
}

/* ---- joins ---- */

/* The other has taken one of two. */
static void prepare_unfinished(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_JOINABLE);
  fill_queue(w, 1, false);
  CHECK_EQ(take_one(w), 1);
}

static void finish_theirs(struct crash_world *w) {
  CHECK_EQ(mp_queue_task_done(w->theirs), 0);
  w->note[0] = 1;
}

static void prepare_finished_in_time(struct crash_world *w) {
  prepare_unfinished(w);
  helped(w, finish_theirs);
}

static int join_waiting(struct crash_world *w, struct mp_context *c) {
  uint64_t lost = 0;
  (void)c;
  return mp_queue_join(w->mine, CRASH_NAP, &lost);
}

static void judge_join(struct crash_world *w, bool done) {
  uint64_t lost = 0;
  if (done) CHECK_EQ(w->result, w->note[0] == 1 ? 0 : MP_TIMEOUT);
  if (w->note[0] == 0) CHECK_EQ(mp_queue_join(w->theirs, MP_NOW, &lost), MP_TIMEOUT);
  if (w->note[0] == 0) CHECK_EQ(mp_queue_task_done(w->theirs), 0);
  CHECK_EQ(mp_queue_join(w->theirs, MP_NOW, &lost), 0);
  check_baseline(w);
}

/* The extra one has waited for the end of what the victim has. */
static void prepare_joined(struct crash_world *w) {
  uint64_t lost = 0;
  make_queue(w, 0, 0, MP_QUEUE_JOINABLE);
  fill_queue(w, 1, false);
  CHECK_EQ(get_within(w->mine, MP_NOW), 0);
  third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_queue_join(third, CRASH_NAP, &lost), MP_TIMEOUT);
}

static int finish(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_queue_task_done(w->mine);
}

/* It is finished, or lost with the victim. */
static void judge_finished(struct crash_world *w, bool done) {
  uint64_t lost = 0;
  int r = mp_queue_join(third, MP_NOW, &lost);
  CHECK(r == 0 || (r == MP_LOST && lost == 1 && !done));
  third = mp_queue_close(third);
  check_baseline(w);
}

/* The victim says so of what the other has. */
static void judge_finished_for_another(struct crash_world *w, bool done) {
  uint64_t lost = 0;
  int r = mp_queue_join(w->theirs, MP_NOW, &lost);
  CHECK(r == 0 || (r == MP_TIMEOUT && !done));
  CHECK_EQ(mp_queue_task_done(w->theirs), r == 0 ? MP_LIMIT : 0);
  CHECK_EQ(mp_queue_join(w->theirs, MP_NOW, &lost), 0);
  w32_put(&w->theirs->entry->held, 0); /* charged to us, who live: nobody asks */
  check_baseline(w);
}

LONG_TEST(a_death_in_join, 300) {
  ENUMERATE("queue join, unfinished", prepare_unfinished, join_waiting, judge_join);
}
LONG_TEST(a_death_in_join_that_succeeds, 300) {
  ENUMERATE("queue join, finished in time", prepare_finished_in_time, join_waiting, judge_join);
}
LONG_TEST(a_death_in_a_task_done_that_wakes, 300) {
  ENUMERATE("queue task done that wakes", prepare_joined, finish, judge_finished);
}
LONG_TEST(a_death_in_a_task_done_for_another, 300) {
  ENUMERATE("queue task done for another", prepare_unfinished, finish, judge_finished_for_another);
}

/* ---- batches over a segment's end ---- */

static void prepare_almost_full_segment(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 29, false);
}

static int put_six(struct crash_world *w, struct mp_context *c) {
  unsigned char bytes[6][SMALL];
  mp_parcel p[6];
  size_t done;
  (void)c;
  for (unsigned i = 0; i < 6; i++) {
    memset(bytes[i], (int)i + 30, SMALL);
    p[i] = (mp_parcel){.bytes = bytes[i], .length = SMALL};
  }
  return mp_queue_put_many(w->mine, p, 6, MP_NOW, &done);
}

/* In steps, each of them whole: up to the segment's end, then the rest. */
static void judge_six(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 35 || (n >= 29 && n <= 31 && !done));
  check_holds(w, 1, (unsigned)n);
  check_baseline(w);
}

static void prepare_two_segments(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 34, true);
  for (unsigned i = 1; i <= 29; i++) CHECK_EQ(take_one(w), i);
}

static int get_five(struct crash_world *w, struct mp_context *c) {
  mp_letter l[5];
  size_t n = 0, sum = 0;
  while (sum < 5) {
    int r = mp_queue_get_many(w->mine, 5 - sum, MP_NOW, l, &n);
    if (r != 0) return r;
    for (size_t i = 0; i < n; i++) mp_letter_free(c, &l[i]);
    sum += n;
  }
  return 0;
}

static void judge_five(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n <= 5);
  if (done) CHECK_EQ(n, 0);
  check_holds(w, (unsigned)(35 - n), 34);
  check_baseline(w);
}

LONG_TEST(a_death_in_put_many_over_a_segments_end, 300) {
  crash_enumerate_steps(&(struct crash_case){"queue put many, grow", prepare_almost_full_segment,
                                             put_six, judge_six});
}
LONG_TEST(a_death_in_get_many_over_a_segments_end, 300) {
  ENUMERATE("queue get many, leave a segment", prepare_two_segments, get_five, judge_five);
}
