/* Pipes and bells of the optimised build, killed after every instruction. */
#include <poll.h>

#include "../../src/core/bell.h"
#include "step.h"

#define LARGE 300

static int send_bytes(mp_connection *end, size_t n) {
  static const char bytes[LARGE];
  return mp_connection_send(end, &(mp_parcel){.bytes = bytes, .length = n}, MP_NOW);
}

/* The length of the next message, or minus the condition that there is none. */
static int receive(mp_connection *end) {
  mp_letter l;
  int r = mp_connection_receive(end, SIZE_MAX, MP_NOW, &l);
  if (r != 0) return -r;
  r = (int)l.parcel.length;
  mp_letter_free(end->context, &l);
  return r;
}

/* ---- pipes: the victim has the end w->object, which the parent closes when it is dead ---- */

static mp_connection *other_end(const struct step_world *w) {
  return (mp_connection *)w->state[0];
}

static void prepare_pipe(struct step_world *w) {
  mp_connection *e[2];
  CHECK_EQ(mp_pipe_new(w->c, 1, e), 0);
  w->object = e[1];
  w->state[0] = (intptr_t)e[0];
  w->state[1] = 0;
}

static void prepare_with_messages(struct step_world *w) {
  prepare_pipe(w);
  CHECK_EQ(send_bytes(other_end(w), 1), 0);
  CHECK_EQ(send_bytes(other_end(w), LARGE), 0);
}

/* In the child: its copy of the other end would keep that one open. */
static void warm(struct step_world *w) {
  mp_ref block;
  mp_connection_close(other_end(w));
  CHECK_EQ(mp_heap_reserve(w->c, LARGE + 16, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(w->c, block);
}

static void settle(struct step_world *w) {
  w->object = mp_connection_close(w->object);
}

static void judge_end(struct step_world *w) {
  CHECK_EQ(receive(other_end(w)), -MP_CLOSED);
  CHECK_EQ(send_bytes(other_end(w), 1), MP_CLOSED);
  mp_connection_close(other_end(w));
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

/* What the dead one sent is there, whole, or is not; then comes the end. */
static void judge_sent(struct step_world *w, bool done, int length) {
  int got = receive(other_end(w));
  CHECK(got == length || (!done && got == -MP_CLOSED));
  judge_end(w);
}

static void send_small(struct step_world *w) {
  (void)send_bytes(w->object, 5);
}
static void judge_small(struct step_world *w, bool done) {
  judge_sent(w, done, 5);
}
static void send_large(struct step_world *w) {
  (void)send_bytes(w->object, LARGE);
}
static void judge_large(struct step_world *w, bool done) {
  judge_sent(w, done, LARGE);
}

static void receive_both(struct step_world *w) {
  (void)receive(w->object);
  (void)receive(w->object);
}
static void close_end(struct step_world *w) {
  mp_connection_close(w->object);
}
static void judge_gone(struct step_world *w, bool done) {
  (void)done;
  judge_end(w);
}

/* ---- bells: the parent watches the queue w->object, into which the victim puts ---- */

static int put(mp_queue *q) {
  return mp_queue_put(q, &(mp_parcel){.bytes = "x", .length = 1}, MP_NOW);
}

static int readable(const struct step_world *w) {
  struct pollfd p = {.fd = (int)w->state[0], .events = POLLIN};
  return poll(&p, 1, 0);
}

static void prepare_watched(struct step_world *w) {
  int fd;
  CHECK_EQ(mp_queue_new(w->c, &(mp_queue_options){0}, &w->object), 0);
  CHECK_EQ(mp_bell_hang(w->object, &fd), 0);
  w->state[0] = fd;
}

static void put_one(struct step_world *w) {
  (void)put(w->object);
}

static void hang_and_close(struct step_world *w) {
  int fd;
  (void)!mp_bell_hang(w->object, &fd);
  mp_bell_close(w->object);
}

/* The bell rings at the next put, at the latest, and is silent when all is taken. */
static void judge_bell(struct step_world *w, bool done) {
  mp_letter l;
  (void)done;
  CHECK_EQ(put(w->object), 0);
  CHECK_EQ(readable(w), 1);
  while (mp_queue_get(w->object, MP_NOW, &l) == 0) mp_letter_free(w->c, &l);
  CHECK_EQ(readable(w), 0);
  CHECK_EQ(put(w->object), 0);
  CHECK_EQ(readable(w), 1);
  w->object = mp_queue_close(w->object);
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

#define STEP_TEST(id, before, prime, operation, end, calm, what)                                \
  LONG_TEST(id, 200) {                                                                          \
    step_through(&(struct step_case){what, before, prime, operation, end, calm});               \
  }

STEP_TEST(kill_in_send, prepare_pipe, warm, send_small, judge_small, settle, "pipe send")
STEP_TEST(kill_in_send_of_a_block, prepare_pipe, warm, send_large, judge_large, settle,
          "pipe send, block")
STEP_TEST(kill_in_receive, prepare_with_messages, warm, receive_both, judge_gone, settle,
          "pipe receive")
STEP_TEST(kill_in_close, prepare_with_messages, warm, close_end, judge_gone, settle, "pipe close")
STEP_TEST(kill_in_ring, prepare_watched, NULL, put_one, judge_bell, NULL, "bell ring")
STEP_TEST(kill_in_hang, prepare_watched, NULL, hang_and_close, judge_bell, NULL, "bell hang, close")
