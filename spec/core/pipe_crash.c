/* Pipes, and whoever dies in the middle of them. */
#include "../../src/core/pipe.h"
#include "crash.h"

/* mine: the victim's end; theirs: other's, the opposite one. */
static void prepare(struct crash_world *w) {
  mp_connection *e[2];
  CHECK_EQ(mp_pipe_new(w->other, 1, e), 0);
  w->mine = crash_open(w->victim, e[1]);
  mp_connection_close(e[1]);
  w->theirs = e[0];
}

static int send_text(mp_connection *to, const char *text) {
  mp_parcel p = {.bytes = text, .length = strlen(text)};
  return mp_connection_send(to, &p, MP_NOW);
}

#define SMALL "small"
#define LARGE "larger than what stands in a cell of a queue, so that it has a block of its own"

static int receive_one(mp_connection *from, char *out, size_t size) {
  mp_letter l;
  int r = mp_connection_receive(from, SIZE_MAX, MP_NOW, &l);
  if (r != 0) return r;
  CHECK(l.parcel.length < size);
  memcpy(out, l.parcel.bytes, l.parcel.length);
  out[l.parcel.length] = '\0';
  mp_letter_free(from->context, &l);
  return 0;
}

/* The victim's end is gone: all that it had sent can be received, then comes the end. */
static void judge_sent(struct crash_world *w, bool done, const char *expected) {
  char text[200];
  int n = 0, r;
  while ((r = receive_one(w->theirs, text, sizeof text)) == 0) {
    CHECK_STR(text, expected);
    n++;
  }
  CHECK_EQ(r, MP_CLOSED);
  CHECK(n == 1 || (n == 0 && !done));
  CHECK_EQ(send_text(w->theirs, "x"), MP_CLOSED);
  CHECK_EQ(mp_connection_poll(w->theirs, MP_NOW), 0);
  mp_connection_close(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

static int send_small(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return send_text(w->mine, SMALL);
}
static void judge_small(struct crash_world *w, bool done) {
  judge_sent(w, done, SMALL);
}

static int send_large(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return send_text(w->mine, LARGE);
}
static void judge_large(struct crash_world *w, bool done) {
  judge_sent(w, done, LARGE);
}

/* What comes to the victim is taken by it or goes with its end. */
static void prepare_with_messages(struct crash_world *w) {
  prepare(w);
  CHECK_EQ(send_text(w->theirs, SMALL), 0);
  CHECK_EQ(send_text(w->theirs, LARGE), 0);
}
static int receive_both(struct crash_world *w, struct mp_context *c) {
  char text[200];
  (void)c;
  int r = receive_one(w->mine, text, sizeof text);
  return r != 0 ? r : receive_one(w->mine, text, sizeof text);
}
static void judge_closed(struct crash_world *w, bool done) {
  (void)done;
  char text[200];
  CHECK_EQ(receive_one(w->theirs, text, sizeof text), MP_CLOSED);
  CHECK_EQ(send_text(w->theirs, "x"), MP_CLOSED);
  mp_connection_close(w->theirs);
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

static int close_end(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_connection_close(w->mine);
  return 0;
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}
static int make_one_way(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_connection *e[2];
  return mp_pipe_new(c, 0, e);
}
static void judge_nothing(struct crash_world *w, bool done) {
  (void)done;
  mp_heap_flush(w->other);
  CHECK_EQ(mp_heap_usage(w->other).allocated, 0);
}

#define CRASH_TEST(name, before, operation, judge, what)                                        \
  LONG_TEST(name, 300) {                                                                        \
    crash_enumerate(&(struct crash_case){what, before, operation, judge});                      \
  }

CRASH_TEST(a_death_in_send, prepare, send_small, judge_small, "pipe send")
CRASH_TEST(a_death_in_send_of_a_block, prepare, send_large, judge_large, "pipe send, block")
CRASH_TEST(a_death_in_receive, prepare_with_messages, receive_both, judge_closed, "pipe receive")
CRASH_TEST(a_death_in_close, prepare_with_messages, close_end, judge_closed, "pipe close")
CRASH_TEST(a_death_in_new, prepare_nothing, make_one_way, judge_nothing, "pipe new, one way")

/* ---- waits, refusals, and the other ways to make one ---- */

static unsigned char bulk[MP_PIPE_BYTES];

/* Nothing more goes in. */
static void prepare_full(struct crash_world *w) {
  struct mp_parcel p = {.bytes = bulk, .length = sizeof bulk};
  prepare(w);
  CHECK_EQ(mp_connection_send(w->mine, &p, MP_NOW), 0);
}
static int send_waiting(struct crash_world *w, struct mp_context *c) {
  struct mp_parcel p = {.bytes = SMALL, .length = sizeof SMALL - 1};
  (void)c;
  return mp_connection_send(w->mine, &p, CRASH_NAP);
}
static void judge_full(struct crash_world *w, bool done) {
  mp_letter l;
  CHECK(!done || w->result == MP_TIMEOUT);
  CHECK_EQ(mp_connection_receive(w->theirs, SIZE_MAX, MP_NOW, &l), 0);
  CHECK_EQ(l.parcel.length, sizeof bulk);
  mp_letter_free(w->other, &l);
  judge_closed(w, done);
}

static int receive_waiting(struct crash_world *w, struct mp_context *c) {
  mp_letter l;
  (void)c;
  return mp_connection_receive(w->mine, SIZE_MAX, CRASH_NAP, &l);
}
static int poll_waiting(struct crash_world *w, struct mp_context *c) {
  (void)c;
  return mp_connection_poll(w->mine, CRASH_NAP);
}
static int receive_too_big(struct crash_world *w, struct mp_context *c) {
  mp_letter l;
  (void)c;
  return mp_connection_receive(w->mine, 3, MP_NOW, &l);
}

static int send_ticket(struct crash_world *w, struct mp_context *c) {
  mp_ticket t = mp_handle_ticket((struct mp_handle *)w->note[0]);
  struct mp_parcel p = {
      .bytes = SMALL, .length = sizeof SMALL - 1, .tickets = &t, .ticket_count = 1};
  (void)c;
  return mp_connection_send(w->mine, &p, MP_NOW);
}
static void prepare_with_ticket(struct crash_world *w) {
  mp_lock *l;
  prepare(w);
  CHECK_EQ(mp_lock_new(w->other, &l), 0);
  w->note[0] = (intptr_t)l;
}
static void judge_ticket(struct crash_world *w, bool done) {
  struct mp_handle *l = (struct mp_handle *)w->note[0];
  char text[200];
  int r = receive_one(w->theirs, text, sizeof text);
  CHECK(r == 0 || (r == MP_CLOSED && !done));
  CHECK_EQ(w32_get(&l->object->mentions), 0); /* gone with the message, or never counted */
  mp_lock_close(l);
  judge_closed(w, done);
}

static int make_duplex(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_connection *e[2];
  return mp_pipe_new(c, 1, e);
}

CRASH_TEST(a_death_in_a_send_that_waits, prepare_full, send_waiting, judge_full, "pipe send, full")
CRASH_TEST(a_death_in_a_receive_that_waits, prepare, receive_waiting, judge_closed,
           "pipe receive, empty")
CRASH_TEST(a_death_in_poll, prepare, poll_waiting, judge_closed, "pipe poll, empty")
CRASH_TEST(a_death_in_a_receive_of_less, prepare_with_messages, receive_too_big, judge_closed,
           "pipe receive, too big")
CRASH_TEST(a_death_in_send_of_an_object, prepare_with_ticket, send_ticket, judge_ticket,
           "pipe send, object")
CRASH_TEST(a_death_in_new_of_both_ways, prepare_nothing, make_duplex, judge_nothing,
           "pipe new, both ways")
