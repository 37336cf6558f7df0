/* Pipes: messages, ends of file, what a dead process leaves. */
#include <pthread.h>

#include "../../src/core/context.h"
#include "../../src/core/pipe.h"
#include "test.h"

static struct mp_context *open_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static void check_all(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

static int try_send(mp_connection *to, const void *bytes, size_t n, mp_deadline until) {
  mp_parcel p = {.bytes = bytes, .length = n};
  return mp_connection_send(to, &p, until);
}

static void send_text(mp_connection *to, const char *text) {
  CHECK_EQ(try_send(to, text, strlen(text), mp_in(5)), 0);
}

static void expect(mp_connection *from, const char *text) {
  mp_letter l;
  CHECK_EQ(mp_connection_receive(from, SIZE_MAX, mp_in(5), &l), 0);
  CHECK_EQ(l.parcel.length, strlen(text));
  CHECK(memcmp(l.parcel.bytes, text, l.parcel.length) == 0);
  mp_letter_free(from->context, &l);
}

static int receive_result(mp_connection *from, mp_deadline until) {
  mp_letter l;
  int r = mp_connection_receive(from, SIZE_MAX, until, &l);
  if (r == 0) mp_letter_free(from->context, &l);
  return r;
}

TEST(what_one_end_sends_the_other_receives) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  char large[300];
  memset(large, 'x', sizeof large - 1);
  large[sizeof large - 1] = '\0';
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  send_text(e[0], "one");
  send_text(e[0], "");
  send_text(e[0], large);
  send_text(e[1], "back");
  expect(e[1], "one");
  expect(e[1], "");
  expect(e[1], large);
  expect(e[0], "back");
  CHECK_EQ(receive_result(e[0], MP_NOW), MP_EMPTY);
  CHECK_EQ(mp_connection_poll(e[0], MP_NOW), MP_TIMEOUT);
  send_text(e[1], "again");
  CHECK_EQ(mp_connection_poll(e[0], MP_NOW), 0);
  CHECK_EQ(mp_connection_poll(e[0], MP_FOREVER), 0);
  expect(e[0], "again");
  check_all(c);
  mp_connection_close(e[0]);
  mp_connection_close(e[1]);
  check_all(c);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  mp_context_close(c);
}

TEST(a_one_way_pipe_has_one_way) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  CHECK_EQ(mp_pipe_new(c, 0, e), 0);
  CHECK(mp_connection_readable(e[0]) && !mp_connection_writable(e[0]));
  CHECK(!mp_connection_readable(e[1]) && mp_connection_writable(e[1]));
  CHECK_EQ(try_send(e[0], "x", 1, MP_NOW), -EBADF);
  CHECK_EQ(receive_result(e[1], MP_NOW), -EBADF);
  CHECK_EQ(mp_connection_poll(e[1], MP_NOW), -EBADF);
  send_text(e[1], "x");
  expect(e[0], "x");
  mp_connection_close(e[0]);
  CHECK_EQ(try_send(e[1], "x", 1, MP_NOW), MP_CLOSED);
  mp_connection_close(e[1]);
  check_all(c);
  mp_context_close(c);
}

TEST(closing_is_the_end_of_the_file) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  send_text(e[0], "last");
  send_text(e[1], "never received, and so large that it has a block of its own: ................");
  CHECK(mp_connection_close(e[0]) == NULL);
  CHECK_EQ(mp_connection_poll(e[1], MP_NOW), 0);
  expect(e[1], "last");
  CHECK_EQ(mp_connection_poll(e[1], MP_NOW), 0); /* the end can be read, too */
  CHECK_EQ(receive_result(e[1], MP_FOREVER), MP_CLOSED);
  CHECK_EQ(try_send(e[1], "x", 1, MP_FOREVER), MP_CLOSED);
  check_all(c);
  mp_connection_close(e[1]);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  mp_context_close(c);
}

TEST(a_message_that_is_too_long_stays) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  mp_letter l;
  char large[100] = {0};
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  send_text(e[0], "four");
  CHECK_EQ(try_send(e[0], large, sizeof large, MP_NOW), 0);
  CHECK_EQ(mp_connection_receive(e[1], 3, MP_FOREVER, &l), MP_TOO_BIG);
  CHECK_EQ(mp_connection_receive(e[1], 4, MP_FOREVER, &l), 0);
  mp_letter_free(c, &l);
  CHECK_EQ(mp_connection_receive(e[1], 99, MP_FOREVER, &l), MP_TOO_BIG);
  CHECK_EQ(mp_connection_receive(e[1], 100, MP_FOREVER, &l), 0);
  mp_letter_free(c, &l);
  check_all(c);
  mp_connection_close(e[0]);
  mp_connection_close(e[1]);
  mp_context_close(c);
}

TEST(a_full_pipe_holds_the_sender_back) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  static char large[200000];
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  CHECK_EQ(try_send(e[0], large, sizeof large, MP_NOW), 0); /* larger than all: alone */
  CHECK_EQ(try_send(e[0], "x", 1, MP_NOW), MP_FULL);
  double begun = test_now();
  CHECK_EQ(try_send(e[0], "x", 1, mp_in(0.1)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - begun, 0.1);
  CHECK_EQ(receive_result(e[1], MP_NOW), 0);
  int n = 0;
  while (try_send(e[0], large, 1000, MP_NOW) == 0) n++;
  CHECK_EQ(n, MP_PIPE_BYTES / 1000);
  CHECK_EQ(try_send(e[0], large, sizeof large, MP_NOW), MP_FULL);
  while (n-- > 0) CHECK_EQ(receive_result(e[1], MP_NOW), 0);
  for (n = 0; try_send(e[0], "", 0, MP_NOW) == 0;) n++;
  CHECK_EQ(n, MP_PIPE_MESSAGES);
  check_all(c);
  mp_connection_close(e[0]);
  mp_connection_close(e[1]);
  mp_context_close(c);
}

#define MANY 30000

/* Sends back what comes, until there is no more. */
static void echo(mp_connection *end) {
  mp_letter l;
  while (mp_connection_receive(end, SIZE_MAX, MP_FOREVER, &l) == 0) {
    CHECK_EQ(mp_connection_send(end, &l.parcel, MP_FOREVER), 0);
    mp_letter_free(end->context, &l);
  }
}

TEST(two_processes_talk) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  pid_t pid = fork();
  if (pid == 0) {
    mp_connection_close(e[0]);
    echo(e[1]);
    mp_context_close(c);
    _exit(0);
  }
  mp_connection_close(e[1]);
  for (int i = 0; i < MANY; i++) {
    char text[100];
    int n = snprintf(text, sizeof text, "%0*d", i % 90 + 1, i);
    CHECK_EQ(try_send(e[0], text, (size_t)n, mp_in(5)), 0);
    expect(e[0], text);
  }
  mp_connection_close(e[0]);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  check_all(c);
  mp_context_close(c);
}

/* As Python's: a child has both ends too, and while it has one, that end is not closed. */
TEST(a_child_that_has_both_ends_keeps_both_open) {
  struct mp_context *c = open_context();
  mp_connection *e[2], *go[2];
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  CHECK_EQ(mp_pipe_new(c, 0, go), 0);
  pid_t pid = fork();
  if (pid == 0) {
    mp_connection_close(go[1]);
    CHECK_EQ(receive_result(go[0], mp_in(5)), 0);
    mp_context_close(c);
    _exit(0);
  }
  mp_connection_close(e[1]);
  CHECK_EQ(receive_result(e[0], mp_in(0.1)), MP_TIMEOUT);
  send_text(go[1], "go");
  CHECK_EQ(receive_result(e[0], mp_in(5)), MP_CLOSED);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  mp_connection_close(e[0]);
  mp_connection_close(go[0]);
  mp_connection_close(go[1]);
  check_all(c);
  mp_context_close(c);
}

/* A process that is killed has closed its ends: who waits on the other side hears of it. */
static void killed(int sending) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  static char large[MP_PIPE_BYTES];
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  pid_t pid = fork();
  if (pid == 0) {
    mp_connection_close(e[0]);
    send_text(e[1], "ready");
    pause();
    _exit(0);
  }
  mp_connection_close(e[1]);
  expect(e[0], "ready");
  if (sending) CHECK_EQ(try_send(e[0], large, sizeof large, MP_NOW), 0);
  kill(pid, SIGKILL);
  double begun = test_now();
  if (sending)
    CHECK_EQ(try_send(e[0], "x", 1, mp_in(20)), MP_CLOSED);
  else
    CHECK_EQ(receive_result(e[0], mp_in(20)), MP_CLOSED);
  CHECK(test_now() - begun < 1 * test_slow());
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  mp_connection_close(e[0]);
  check_all(c);
  mp_context_close(c);
}

TEST(a_killed_reader_is_a_broken_pipe) {
  killed(1);
}
TEST(a_killed_writer_is_the_end_of_the_file) {
  killed(0);
}

static void *producer(void *arg) {
  mp_connection *theirs = arg;
  struct mp_context *c = open_context();
  mp_connection *mine;
  CHECK_EQ(mp_handle_open(c, mp_handle_ticket(theirs), &mine), 0);
  for (uint32_t i = 1; i <= MANY; i++) CHECK_EQ(try_send(mine, &i, sizeof i, MP_FOREVER), 0);
  mp_connection_close(mine);
  mp_context_close(c);
  return NULL;
}

TEST(many_may_share_an_end) {
  struct mp_context *c = open_context();
  mp_connection *e[2];
  pthread_t t[2];
  uint64_t sum = 0;
  CHECK_EQ(mp_pipe_new(c, 0, e), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&t[i], NULL, producer, e[1]), 0);
  for (int i = 0; i < 2 * MANY; i++) {
    mp_letter l;
    uint32_t n;
    CHECK_EQ(mp_connection_receive(e[0], SIZE_MAX, mp_in(10), &l), 0);
    memcpy(&n, l.parcel.bytes, sizeof n);
    mp_letter_free(c, &l);
    sum += n;
  }
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  CHECK_EQ(sum, (uint64_t)MANY * (MANY + 1));
  mp_connection_close(e[0]);
  mp_connection_close(e[1]);
  check_all(c);
  mp_context_close(c);
}

/* An end that stands in a message is held by it: neither lost nor kept for ever. */
TEST(an_end_travels_in_a_message) {
  struct mp_context *c = open_context();
  mp_connection *e[2], *carrier[2], *arrived;
  mp_letter l;
  CHECK_EQ(mp_pipe_new(c, 1, e), 0);
  CHECK_EQ(mp_pipe_new(c, 0, carrier), 0);
  for (int taken = 0; taken < 2; taken++) {
    mp_ticket t = mp_handle_ticket(e[1]);
    mp_parcel p = {.bytes = "end", .length = 3, .tickets = &t, .ticket_count = 1};
    CHECK_EQ(mp_connection_send(carrier[1], &p, MP_NOW), 0);
    mp_connection_close(e[1]);
    CHECK_EQ(mp_connection_poll(e[0], MP_NOW), MP_TIMEOUT);
    check_all(c);
    if (taken) break;
    CHECK_EQ(mp_connection_receive(carrier[0], SIZE_MAX, MP_NOW, &l), 0);
    CHECK_EQ(mp_handle_open(c, l.parcel.tickets[0], &arrived), 0);
    mp_letter_free(c, &l);
    send_text(arrived, "hello");
    expect(e[0], "hello");
    e[1] = arrived;
  }
  mp_connection_close(carrier[0]); /* with the message, and so the end */
  CHECK_EQ(receive_result(e[0], MP_NOW), MP_CLOSED);
  mp_connection_close(carrier[1]);
  mp_connection_close(e[0]);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  check_all(c);
  mp_context_close(c);
}
