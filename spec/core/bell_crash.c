/* Bells, and whoever dies in the middle of one. */
#include <poll.h>

#include "../../src/core/bell.h"
#include "crash.h"

/* mine and theirs: the victim's and other's handle on one queue; extra has a third, with a bell. */
static void prepare(struct crash_world *w) {
  mp_queue_options o = {0};
  CHECK_EQ(mp_queue_new(w->other, &o, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  struct mp_handle *watching = crash_open(w->extra, w->theirs);
  int fd;
  CHECK_EQ(mp_bell_hang(watching, &fd), 0);
  w->note[0] = (intptr_t)watching;
  w->note[1] = fd;
}

static void prepare_with_bell(struct crash_world *w) {
  int fd;
  prepare(w);
  CHECK_EQ(mp_bell_hang(w->mine, &fd), 0);
}

static int readable(const struct crash_world *w) {
  struct pollfd p = {.fd = (int)w->note[1], .events = POLLIN};
  return poll(&p, 1, 0);
}

static int put(mp_queue *q) {
  mp_parcel p = {.bytes = "x", .length = 1};
  return mp_queue_put(q, &p, MP_NOW);
}

/* The watcher's bell works: rung by the next put at the latest, and silent when all is taken. */
static void judge(struct crash_world *w, bool done) {
  struct mp_handle *watching = (struct mp_handle *)w->note[0];
  mp_letter l;
  (void)done;
  if (w->note[2] && done) CHECK_EQ(readable(w), 1);
  CHECK_EQ(put(w->theirs), 0);
  CHECK_EQ(readable(w), 1);
  while (mp_queue_get(watching, MP_NOW, &l) == 0) mp_letter_free(w->extra, &l);
  CHECK_EQ(readable(w), 0);
  CHECK_EQ(put(w->theirs), 0);
  CHECK_EQ(readable(w), 1);
  mp_queue_close(watching);
  mp_queue_close(w->theirs);
  mp_heap_flush(w->other);
  mp_heap_flush(w->extra);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

static int hang(struct crash_world *w, struct mp_context *c) {
  int fd;
  (void)c;
  return mp_bell_hang(w->mine, &fd);
}

static int fileno_and_close(struct crash_world *w, struct mp_context *c) {
  int fd, r = mp_fileno(w->mine, &fd);
  (void)c;
  if (r == 0) mp_queue_close(w->mine);
  return r;
}

static int ring(struct crash_world *w, struct mp_context *c) {
  (void)c;
  w->note[2] = lab->failing != LAB_CALL; /* a bell that could not be rung is rung by the next one */
  return put(w->mine);
}

static int look(struct crash_world *w, struct mp_context *c) {
  mp_letter l;
  (void)c;
  int r = put(w->mine);
  if (r == 0) r = mp_queue_get(w->mine, MP_NOW, &l);
  if (r == 0) mp_letter_free(c, &l);
  return r;
}

#define CRASH_TEST(name, before, operation, what)                               \
  LONG_TEST(name, 120) {                                                        \
    crash_enumerate_anew(&(struct crash_case){what, before, operation, judge}); \
  }

CRASH_TEST(a_death_in_hang, prepare, hang, "bell hang")
CRASH_TEST(a_death_in_close, prepare, fileno_and_close, "bell fileno, close")
CRASH_TEST(a_death_in_ring, prepare, ring, "bell ring")
CRASH_TEST(a_death_of_who_rings_itself, prepare_with_bell, look, "bell put, get")

/* ---- waiting for several, and events ---- */

static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  mp_waiting item = {.object = w->mine};
  size_t count;
  int r = mp_wait(c, &item, 1, CRASH_NAP, &count);
  return r == MP_TIMEOUT ? 0 : r;
}

static void prepare_event(struct crash_world *w) {
  CHECK_EQ(mp_event_new(w->other, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  struct mp_handle *watching = crash_open(w->extra, w->theirs);
  int fd;
  CHECK_EQ(mp_bell_hang(watching, &fd), 0);
  w->note[0] = (intptr_t)watching;
  w->note[1] = fd;
}

static int set_event(struct crash_world *w, struct mp_context *c) {
  (void)c;
  w->note[2] = lab->failing != LAB_CALL;
  mp_event_set(w->mine);
  return 0;
}

/* Rung when it was set; else by the next set. */
static void judge_event(struct crash_world *w, bool done) {
  struct mp_handle *watching = (struct mp_handle *)w->note[0];
  if (w->note[2] && done) CHECK_EQ(readable(w), 1);
  mp_event_set(w->theirs);
  CHECK_EQ(readable(w), 1);
  mp_event_clear(watching);
  CHECK_EQ(readable(w), 0);
  mp_event_set(w->theirs);
  CHECK_EQ(readable(w), 1);
  mp_event_close(watching);
  mp_event_close(w->theirs);
}

static int set_and_clear_with_bell(struct crash_world *w, struct mp_context *c) {
  int fd, r = mp_bell_hang(w->mine, &fd);
  (void)c;
  if (r != 0) return r;
  mp_event_set(w->mine);
  mp_event_clear(w->mine);
  return 0;
}

static int look_again(struct crash_world *w, struct mp_context *c) {
  (void)c;
  (void)mp_ready(w->mine);
  return 0;
}

CRASH_TEST(a_death_in_a_look, prepare_with_bell, look_again, "bell look")
CRASH_TEST(a_death_in_wait, prepare, wait_in_vain, "bell wait")

#define EVENT_TEST(name, operation, what)                                                       \
  LONG_TEST(name, 120) {                                                                        \
    crash_enumerate_anew(&(struct crash_case){what, prepare_event, operation, judge_event});    \
  }

EVENT_TEST(a_death_in_set, set_event, "bell event set")
EVENT_TEST(a_death_of_who_watches_and_sets, set_and_clear_with_bell, "bell hang, event set, clear")
