/* The queue, and whoever dies in the middle of it. */
#include "queue_world.h"

/* ---- put ---- */

static void prepare_three(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 3, true);
}

static void prepare_three_of_bytes(struct crash_world *w) {
  make_queue(w, 100, 10000, MP_QUEUE_PLAIN);
  fill_queue(w, 3, true);
}

/* The first segment is full: 31 cells. */
static void prepare_full_segment(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 31, false);
}

static int put_small(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return put_message(w->mine, size_of(w->mine) + 1, SMALL);
}

static int put_large(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return put_message(w->mine, size_of(w->mine) + 1, LARGE);
}

/* One of: as it was, or one more. When the operation returned, one more. */
static void judge_put(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 3 || n == 4 || n == 31 || n == 32);
  if (done) CHECK_EQ(w->result, 0);
  if (done) CHECK(n == 4 || n == 32);
  check_holds(w, 1, (unsigned)n);
  check_baseline(w);
}

static int put_many(struct crash_world *w, struct mp_context *c) {
  unsigned char bytes[6][LARGE];
  mp_parcel p[6];
  size_t done;
  (void)c;
  for (unsigned i = 0; i < 6; i++) {
    memset(bytes[i], (int)i + 4, LARGE);
    p[i] = (mp_parcel){.bytes = bytes[i], .length = i % 2 ? LARGE : SMALL};
  }
  return mp_queue_put_many(w->mine, p, 6, MP_NOW, &done);
}

static void judge_put_many(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 3 || n == 9);
  if (done) CHECK_EQ(n, 9);
  check_holds(w, 1, (unsigned)n);
  check_baseline(w);
}

static void prepare_with_object(struct crash_world *w) {
  mp_queue *passenger;
  mp_queue_options o = {0, 0, MP_QUEUE_PLAIN};
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  CHECK_EQ(mp_queue_new(w->victim, &o, &passenger), 0);
  w->note[0] = (intptr_t)passenger;
}

/* The only handle of a queue is sent away and given up. */
static int put_object(struct crash_world *w, struct mp_context *c) {
  mp_queue *passenger = (mp_queue *)w->note[0];
  mp_ticket t = mp_handle_ticket(passenger);
  mp_parcel p = {.bytes = "12345678", .length = SMALL, .tickets = &t, .ticket_count = 1};
  (void)c;
  int r = mp_queue_put(w->mine, &p, MP_NOW);
  if (r == 0) mp_queue_close(passenger);
  return r;
}

static void judge_put_object(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_QUEUE], 1 + size_of(w->theirs)); /* it lives in its message */
  if (done) CHECK_EQ(size_of(w->theirs), 1);
  check_baseline(w);
}

LONG_TEST(a_death_in_put_small, 300) {
  ENUMERATE("queue put small", prepare_three, put_small, judge_put);
}
LONG_TEST(a_death_in_put_large, 300) {
  ENUMERATE("queue put large", prepare_three, put_large, judge_put);
}
LONG_TEST(a_death_in_put_bounded, 300) {
  ENUMERATE("queue put bounded", prepare_three_of_bytes, put_large, judge_put);
}
LONG_TEST(a_death_in_growth, 300) {
  ENUMERATE("queue grow", prepare_full_segment, put_small, judge_put);
}
LONG_TEST(a_death_in_put_many, 300) {
  ENUMERATE("queue put many", prepare_three, put_many, judge_put_many);
}
LONG_TEST(a_death_in_put_object, 300) {
  ENUMERATE("queue put object", prepare_with_object, put_object, judge_put_object);
}

/* ---- get ---- */

static int get_one(struct crash_world *w, struct mp_context *c) {
  mp_letter l;
  int r = mp_queue_get(w->mine, MP_NOW, &l);
  if (r == 0) mp_letter_free(c, &l);
  return r;
}

static int get_large(struct crash_world *w, struct mp_context *c) {
  int r = get_one(w, c);
  return r != 0 ? r : get_one(w, c);
}

static int get_batch(struct crash_world *w, struct mp_context *c) {
  mp_letter l[3];
  size_t n = 0;
  int r = mp_queue_get_many(w->mine, 3, MP_NOW, l, &n);
  for (size_t i = 0; i < n; i++) mp_letter_free(c, &l[i]);
  return r;
}

/* What is left is a tail of what was there. */
static void judge_get(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n <= 3);
  if (done) CHECK(n < 3);
  check_holds(w, (unsigned)(4 - n), 3);
  check_baseline(w);
}

static void judge_get_batch(struct crash_world *w, bool done) {
  uint64_t n = size_of(w->theirs);
  CHECK(n == 3 || n == 0);
  judge_get(w, done);
}

/* Two segments, of which the first is read to its end. */
static void prepare_two_segments(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 31, false);
  for (unsigned i = 1; i <= 31; i++) CHECK_EQ(take_one(w), i);
  for (unsigned i = 1; i <= 3; i++) CHECK_EQ(put_message(w->theirs, i, i == 1 ? LARGE : SMALL), 0);
}

LONG_TEST(a_death_in_get_small, 300) {
  ENUMERATE("queue get small", prepare_three, get_one, judge_get);
}
LONG_TEST(a_death_in_get_large, 300) {
  ENUMERATE("queue get large", prepare_three, get_large, judge_get);
}
LONG_TEST(a_death_in_get_bounded, 300) {
  ENUMERATE("queue get bounded", prepare_three_of_bytes, get_large, judge_get);
}
LONG_TEST(a_death_in_get_many, 300) {
  ENUMERATE("queue get many", prepare_three, get_batch, judge_get_batch);
}
LONG_TEST(a_death_at_a_segments_end, 300) {
  ENUMERATE("queue leave a segment", prepare_two_segments, get_one, judge_get);
}

/* ---- nobody has noticed yet ---- */

/* The dead one put; somebody takes all that he can see. note[0]: how many. */
static void take_meanwhile(struct crash_world *w) {
  unsigned n;
  while ((n = take_one(w)) != 0) CHECK_EQ(n, ++w->note[0]);
}

static void prepare_watched(struct crash_world *w) {
  prepare_three(w);
  w->meanwhile = take_meanwhile;
}

/* What was seen stays taken: the rest follows on it. */
static void judge_taken(struct crash_world *w, bool done) {
  uint64_t left = size_of(w->theirs);
  unsigned seen = (unsigned)w->note[0];
  CHECK(seen + left == 3 || seen + left == 4 || seen + left == 9);
  if (done) CHECK(seen + left > 3);
  check_holds(w, seen + 1, (unsigned)(seen + left));
  check_baseline(w);
}

/* The dead one took; somebody puts as much as there is room for. note[0]: how many. */
static void put_meanwhile(struct crash_world *w) {
  unsigned n = 4;
  while (put_message(w->theirs, n, n % 2 ? LARGE : SMALL) == 0) n++;
  w->note[0] = n - 4;
}

static void judge_filled(struct crash_world *w, bool done) {
  uint64_t left = size_of(w->theirs);
  unsigned more = (unsigned)w->note[0], taken = (unsigned)(3 + more - left);
  CHECK(taken <= 3);
  CHECK(more == 0 || more <= taken); /* there was no more room than what he had taken made */
  if (done) CHECK(taken > 0);
  for (unsigned n = taken + 1; n <= 3 + more; n++) CHECK_EQ(take_one(w), n);
  CHECK_EQ(take_one(w), 0);
  check_baseline(w);
}

static void prepare_full_of_three(struct crash_world *w) {
  make_queue(w, 3, 0, MP_QUEUE_PLAIN);
  fill_queue(w, 3, true);
  w->meanwhile = put_meanwhile;
}

LONG_TEST(what_is_seen_of_a_put_is_never_taken_back, 500) {
  ENUMERATE("queue put small, seen", prepare_watched, put_small, judge_taken);
  ENUMERATE("queue put large, seen", prepare_watched, put_large, judge_taken);
  ENUMERATE("queue put many, seen", prepare_watched, put_many, judge_taken);
}
LONG_TEST(room_that_is_seen_is_never_taken_back, 500) {
  ENUMERATE("queue get small, seen", prepare_full_of_three, get_one, judge_filled);
  ENUMERATE("queue get large, seen", prepare_full_of_three, get_large, judge_filled);
  ENUMERATE("queue get many, seen", prepare_full_of_three, get_batch, judge_filled);
}

/* ---- joinable ---- */

static void prepare_joinable(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_JOINABLE);
  fill_queue(w, 3, true);
}

static int get_and_finish(struct crash_world *w, struct mp_context *c) {
  int r = get_one(w, c);
  return r != 0 ? r : mp_queue_task_done(w->mine);
}

/* What the victim took is finished or lost, and the others can be finished by us. */
static void judge_joinable(struct crash_world *w, bool done) {
  uint64_t left = size_of(w->theirs), lost = 0;
  mp_queue_state s;
  CHECK(left == 2 || left == 3);
  if (done) CHECK_EQ(left, 2);
  for (uint64_t i = 0; i < left; i++) {
    CHECK(take_one(w) != 0);
    CHECK_EQ(mp_queue_join(w->theirs, MP_NOW, &lost), MP_TIMEOUT);
    CHECK_EQ(mp_queue_task_done(w->theirs), 0);
  }
  mp_queue_look(w->theirs, &s);
  CHECK_EQ(s.unfinished, 0);
  CHECK_EQ(mp_queue_task_done(w->theirs), MP_LIMIT);
  int r = mp_queue_join(w->theirs, MP_NOW, &lost);
  CHECK(r == 0 || (r == MP_LOST && lost == 1 && left == 2 && !done));
  check_baseline(w);
}

static void prepare_lent(struct crash_world *w) {
  prepare_joinable(w);
  CHECK_EQ(mp_queue_task_done(w->theirs), 0); /* charged to the victim when it dies */
}

static int get_two(struct crash_world *w, struct mp_context *c) {
  int r = get_one(w, c);
  return r != 0 ? r : get_one(w, c);
}

static void judge_lent(struct crash_world *w, bool done) {
  uint64_t left = size_of(w->theirs), lost = 0;
  (void)done;
  for (uint64_t i = 0; i < left; i++) CHECK(take_one(w) != 0);
  while (mp_queue_task_done(w->theirs) == 0) {}
  int r = mp_queue_join(w->theirs, MP_NOW, &lost);
  CHECK_EQ(lost, left == 1 ? 1 : 0);
  CHECK_EQ(r, left == 1 ? MP_LOST : 0);
}

static int shut_down(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_queue_shutdown(w->mine, 0);
  return 0;
}

static void judge_shut_down(struct crash_world *w, bool done) {
  int r = put_message(w->theirs, 4, SMALL);
  CHECK(r == 0 || r == MP_CLOSED);
  if (done) CHECK_EQ(r, MP_CLOSED);
  uint64_t n = size_of(w->theirs);
  CHECK_EQ(n, r == 0 ? 4 : 3);
  for (unsigned i = 1; i <= n; i++) CHECK_EQ(take_one(w), i);
  check_baseline(w);
}

static void prepare_full(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_JOINABLE);
  fill_queue(w, 35, true);
}

static int shut_down_now(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_queue_shutdown(w->mine, 1);
  return 0;
}

/* It is shut and empty, or as it was; and join does not wait for what nobody can take. */
static void judge_shut_down_now(struct crash_world *w, bool done) {
  mp_queue_state s;
  uint64_t lost = 0;
  mp_queue_look(w->theirs, &s);
  CHECK(s.closed ? s.size == 0 : s.size == 35);
  if (done) CHECK(s.closed);
  if (s.closed) CHECK_EQ(mp_queue_join(w->theirs, mp_in(5), &lost), 0);
  check_baseline(w);
}

LONG_TEST(a_death_in_get_and_task_done, 300) {
  ENUMERATE("queue get, task done", prepare_joinable, get_and_finish, judge_joinable);
}
LONG_TEST(a_death_of_a_debtor, 300) {
  ENUMERATE("queue lost", prepare_lent, get_two, judge_lent);
}
LONG_TEST(a_death_in_shutdown, 300) {
  ENUMERATE("queue shut down", prepare_three, shut_down, judge_shut_down);
}
LONG_TEST(a_death_in_immediate_shutdown, 300) {
  ENUMERATE("queue shut down at once", prepare_full, shut_down_now, judge_shut_down_now);
}

/* ---- birth and end ---- */

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static int make_and_close(struct crash_world *w, struct mp_context *c) {
  mp_queue *q;
  mp_queue_options o = {5, 0, MP_QUEUE_PLAIN};
  (void)w;
  int r = mp_queue_new(c, &o, &q);
  if (r == 0) mp_queue_close(q);
  return r;
}

static void judge_nothing(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(w->result, 0);
  check_baseline(w);
}

/* The victim has the last handle of a queue in two segments, with large messages and a queue. */
static void prepare_last(struct crash_world *w) {
  make_queue(w, 0, 0, MP_QUEUE_JOINABLE);
  mp_queue_options o = {0, 0, MP_QUEUE_PLAIN};
  mp_queue *inner;
  CHECK_EQ(mp_queue_new(w->other, &o, &inner), 0);
  mp_ticket t = mp_handle_ticket(inner);
  mp_parcel p = {.bytes = "inner", .length = 5, .tickets = &t, .ticket_count = 1};
  fill_queue(w, 33, false);
  CHECK_EQ(put_message(w->theirs, 1, LARGE), 0);
  CHECK_EQ(mp_queue_put(w->theirs, &p, MP_NOW), 0);
  CHECK_EQ(put_message(inner, 1, LARGE), 0);
  mp_queue_close(inner);
  w->theirs = mp_queue_close(w->theirs);
}

static int close_last(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_queue_close(w->mine);
  return 0;
}

LONG_TEST(a_death_in_birth, 300) {
  ENUMERATE("queue new, close", prepare_nothing, make_and_close, judge_nothing);
}
LONG_TEST(a_death_in_destruction, 500) {
  ENUMERATE("queue destroy", prepare_last, close_last, judge_nothing);
}
