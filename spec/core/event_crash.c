/* Events, and whoever dies in the middle of them. */
#include "crash.h"

static void prepare(struct crash_world *w) {
  CHECK_EQ(mp_event_new(w->other, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
}

/* Somebody has slept for it. */
static void prepare_awaited(struct crash_world *w) {
  prepare(w);
  struct mp_handle *third = crash_open(w->extra, w->theirs);
  CHECK_EQ(mp_event_wait(third, mp_event_moment(third), CRASH_NAP), MP_TIMEOUT);
}

static int set_clear_set(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_event_set(w->mine);
  mp_event_clear(w->mine);
  mp_event_set(w->mine);
  return 0;
}

static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_event_wait(w->mine, mp_event_moment(w->mine), CRASH_NAP);
}

/* The other one sets it while the victim naps. */
static struct crash_world *world;

static void set_theirs(struct crash_world *w) {
  mp_event_set(w->theirs);
}

static void set_aside(struct mp_context *c) {
  (void)c;
  crash_aside(set_theirs, world);
}

static void prepare_set_in_time(struct crash_world *w) {
  prepare(w);
  world = w;
  w->victim->tend = set_aside;
}

static int make(struct crash_world *w, struct mp_context *c) {
  mp_event *e;
  (void)w;
  int r = mp_event_new(c, &e);
  if (r == 0) mp_event_close(e);
  return r;
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static void judge_nothing_left(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  (void)done;
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_EVENT], 0);
}

/* It works; and what was set in between is seen by those who wait since before. */
static void judge_usable(struct crash_world *w, bool done) {
  if (done && w->result == 0) CHECK_EQ(mp_event_is_set(w->theirs), 1);
  if (mp_event_is_set(w->theirs)) CHECK_EQ(mp_event_wait(w->theirs, 0, MP_NOW), 0);
  mp_event_clear(w->theirs);
  uint64_t since = mp_event_moment(w->theirs);
  CHECK_EQ(mp_event_wait(w->theirs, since, MP_NOW), MP_TIMEOUT);
  mp_event_set(w->theirs);
  mp_event_clear(w->theirs);
  CHECK_EQ(mp_event_wait(w->theirs, since, MP_NOW), 0);
}

#define CRASH_TEST(name, prepare, operation, judge)                                   \
  LONG_TEST(name, 120) {                                                              \
    crash_enumerate(&(struct crash_case){"event: " #name, prepare, operation, judge}); \
  }

CRASH_TEST(a_death_in_new_and_close, prepare_nothing, make, judge_nothing_left)
CRASH_TEST(a_death_in_set_and_clear, prepare, set_clear_set, judge_usable)
CRASH_TEST(a_death_in_set_that_wakes, prepare_awaited, set_clear_set, judge_usable)
CRASH_TEST(a_death_in_a_wait, prepare, wait_in_vain, judge_usable)
CRASH_TEST(a_death_in_a_wait_that_succeeds, prepare_set_in_time, wait_in_vain, judge_usable)
