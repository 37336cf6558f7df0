/* Values and arrays, and whoever dies in the middle of it. */
#include "../../src/core/context.h"
#include "crash.h"

static mp_array *make(struct mp_context *c, char code, size_t count) {
  mp_array *a;
  mp_array_options o = {.code = code, .count = count};
  CHECK_EQ(mp_array_new(c, &o, &a), 0);
  return a;
}

static void prepare(struct crash_world *w) {
  w->theirs = make(w->other, 'i', 3);
  for (size_t i = 0; i < 3; i++) CHECK_EQ(mp_array_set(w->theirs, i, (mp_number){.i = 10}), 0);
  w->mine = crash_open(w->victim, w->theirs);
}

static int64_t at(struct crash_world *w, size_t i) {
  mp_number n = {0};
  CHECK_EQ(mp_array_get(w->theirs, i, &n), 0);
  return n.i;
}

/* Element 1 is the old or the new one, its neighbours are what they were. */
static void judge_one(struct crash_world *w, bool done, int64_t expected) {
  CHECK(at(w, 1) == expected || (!done && at(w, 1) == 10));
  CHECK(at(w, 0) == 10 && at(w, 2) == 10);
  mp_array_close(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

static int set(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_array_set(w->mine, 1, (mp_number){.i = -1});
}
static void judge_set(struct crash_world *w, bool done) {
  judge_one(w, done, -1);
}

static int add(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_number sum;
  return mp_array_add(w->mine, 1, (mp_number){.i = 5}, &sum);
}
static void judge_add(struct crash_world *w, bool done) {
  judge_one(w, done, 15);
}

static int exchange(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_number was;
  return mp_array_exchange(w->mine, 1, (mp_number){.i = 77}, &was);
}
static void judge_exchange(struct crash_world *w, bool done) {
  judge_one(w, done, 77);
}

static int compare_exchange(struct crash_world *w, struct mp_context *c) {
  (void)c;
  int done;
  return mp_array_compare_exchange(w->mine, 1, (mp_number){.i = 10}, (mp_number){.i = 78}, &done);
}
static void judge_compare_exchange(struct crash_world *w, bool done) {
  judge_one(w, done, 78);
}

static int write_all(struct crash_world *w, struct mp_context *c) {
  (void)c;
  const int32_t in[3] = {1, 2, 3};
  return mp_array_write(w->mine, 0, 3, in);
}
/* The first ones are new, the rest old. */
static void judge_write(struct crash_world *w, bool done) {
  size_t n = 0;
  while (n < 3 && at(w, n) == (int64_t)n + 1) n++;
  CHECK(!done || n == 3);
  for (; n < 3; n++) CHECK_EQ(at(w, n), 10);
  mp_array_close(w->theirs);
}

static int make_and_close(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_array *a;
  mp_array_options o = {.code = 'd', .count = 4, .lock = w->mine};
  int r = mp_array_new(c, &o, &a);
  if (r == 0) mp_array_close(a);
  return r;
}

static int make_and_keep(struct crash_world *w, struct mp_context *c) {
  mp_array *a;
  mp_array_options o = {.code = 'd', .count = 4, .lock = w->mine};
  return mp_array_new(c, &o, &a);
}

/* Neither the array nor its mention of what goes with it is left. */
static void judge_gone(struct crash_world *w, bool done) {
  (void)done;
  CHECK_EQ(w32_get(&w->theirs->object->mentions), 0);
  CHECK_EQ(w32_get(&w->theirs->object->holders), 1);
  mp_array_close(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

#define CRASH_TEST(name, operation, judge, what)                                                \
  LONG_TEST(name, 120) {                                                                        \
    crash_enumerate(&(struct crash_case){what, prepare, operation, judge});                     \
  }

CRASH_TEST(a_death_in_set, set, judge_set, "array set")
CRASH_TEST(a_death_in_add, add, judge_add, "array add")
CRASH_TEST(a_death_in_exchange, exchange, judge_exchange, "array exchange")
CRASH_TEST(a_death_in_compare_exchange, compare_exchange, judge_compare_exchange,
           "array compare and exchange")
CRASH_TEST(a_death_in_write, write_all, judge_write, "array write")
CRASH_TEST(a_death_in_new, make_and_keep, judge_gone, "array new")
CRASH_TEST(a_death_in_new_and_close, make_and_close, judge_gone, "array new, close")

/* ---- the other widths, and what goes with an array ---- */

static void prepare_code(struct crash_world *w, char code) {
  w->theirs = make(w->other, code, 3);
  for (size_t i = 0; i < 3; i++) {
    mp_number ten = {.i = 10};
    if (code == 'd' || code == 'f') ten.f = 10;
    CHECK_EQ(mp_array_set(w->theirs, i, ten), 0);
  }
  w->mine = crash_open(w->victim, w->theirs);
}
static void prepare_bytes(struct crash_world *w) {
  prepare_code(w, 'b');
}
static void prepare_shorts(struct crash_world *w) {
  prepare_code(w, 'h');
}
static void prepare_longs(struct crash_world *w) {
  prepare_code(w, 'q');
}
static void prepare_floats(struct crash_world *w) {
  prepare_code(w, 'f');
}
static void prepare_doubles(struct crash_world *w) {
  prepare_code(w, 'd');
}

static int add_real(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_number sum;
  return mp_array_add(w->mine, 1, (mp_number){.f = 5}, &sum);
}
static void judge_add_real(struct crash_world *w, bool done) {
  mp_number n[3];
  for (size_t i = 0; i < 3; i++) CHECK_EQ(mp_array_get(w->theirs, i, &n[i]), 0);
  CHECK(n[0].f == 10.0 && n[2].f == 10.0);
  CHECK(n[1].f == 15.0 || (!done && n[1].f == 10.0));
}

/* With a lock, as the victim's: `mine` is an array with one, the victim's handle on it is new. */
static void prepare_locked(struct crash_world *w) {
  mp_lock *l;
  mp_array_options o = {.code = 'i', .count = 3};
  CHECK_EQ(mp_lock_new(w->other, &l), 0);
  o.lock = l;
  CHECK_EQ(mp_array_new(w->other, &o, &w->theirs), 0);
  mp_lock_close(l);
  w->mine = crash_open(w->victim, w->theirs);
}
static int open_lock(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_lock *l;
  int r = mp_array_lock(w->mine, &l);
  return r == 0 ? mp_lock_acquire(l, MP_NOW) : r;
}
static void judge_lock(struct crash_world *w, bool done) {
  mp_lock *l;
  CHECK_EQ(mp_array_lock(w->theirs, &l), 0);
  CHECK(mp_lock_acquire(l, MP_NOW) == (done ? MP_ABANDONED : 0) || !done);
  CHECK_EQ(mp_lock_release(l), 0);
  mp_lock_close(l);
  mp_array_close(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}
static int close_last(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_array_close(w->mine);
  return 0;
}
static void prepare_last(struct crash_world *w) {
  prepare_locked(w);
  mp_array_close(w->theirs);
}
static void judge_nothing(struct crash_world *w, bool done) {
  (void)done;
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}
static int make_value(struct crash_world *w, struct mp_context *c) {
  (void)w;
  static const double pi = 3.14;
  mp_array *a;
  mp_array_options o = {.code = 'd', .count = 1, .flags = MP_ARRAY_SCALAR, .elements = &pi};
  return mp_array_new(c, &o, &a);
}
static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

#define WIDTH_TEST(name, before, operation, judge, what)                                        \
  LONG_TEST(name, 120) {                                                                        \
    crash_enumerate(&(struct crash_case){what, before, operation, judge});                      \
  }

WIDTH_TEST(a_death_in_add_to_a_byte, prepare_bytes, add, judge_add, "array add, bytes")
WIDTH_TEST(a_death_in_add_to_a_short, prepare_shorts, add, judge_add, "array add, shorts")
WIDTH_TEST(a_death_in_add_to_a_long, prepare_longs, add, judge_add, "array add, longs")
WIDTH_TEST(a_death_in_add_to_a_float, prepare_floats, add_real, judge_add_real, "array add, floats")
WIDTH_TEST(a_death_in_add_to_a_double, prepare_doubles, add_real, judge_add_real,
           "array add, doubles")
WIDTH_TEST(a_death_in_set_of_a_byte, prepare_bytes, set, judge_set, "array set, bytes")
WIDTH_TEST(a_death_in_compare_exchange_of_a_byte, prepare_bytes, compare_exchange,
           judge_compare_exchange, "array compare and exchange, bytes")
WIDTH_TEST(a_death_in_exchange_of_a_long, prepare_longs, exchange, judge_exchange,
           "array exchange, longs")
WIDTH_TEST(a_death_in_opening_the_lock, prepare_locked, open_lock, judge_lock, "array lock")
WIDTH_TEST(a_death_in_the_last_close, prepare_last, close_last, judge_nothing,
           "array close, the last one with a lock")
WIDTH_TEST(a_death_in_new_of_a_value, prepare_nothing, make_value, judge_nothing, "value new")
