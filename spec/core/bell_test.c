/* Bells: a descriptor that tells when an object is ready. */
#include <poll.h>
#include <pthread.h>

#include "../../src/core/bell.h"
#include "../../src/core/context.h"
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

static int readable(int fd, double seconds) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, (int)(seconds * 1000));
}

static mp_queue *make_queue(struct mp_context *c) {
  mp_queue *q;
  mp_queue_options o = {0};
  CHECK_EQ(mp_queue_new(c, &o, &q), 0);
  return q;
}

static void put(mp_queue *q, const char *text) {
  mp_parcel p = {.bytes = text, .length = strlen(text)};
  CHECK_EQ(mp_queue_put(q, &p, MP_NOW), 0);
}

static int get(mp_queue *q) {
  mp_letter l;
  int r = mp_queue_get(q, MP_NOW, &l);
  if (r == 0) mp_letter_free(q->context, &l);
  return r;
}

static struct mp_handle *share(struct mp_context *c, struct mp_handle *h) {
  struct mp_handle *mine;
  CHECK_EQ(mp_handle_open(c, mp_handle_ticket(h), &mine), 0);
  return mine;
}

TEST(the_descriptor_follows_the_queue) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  int fd, again;
  CHECK_EQ(mp_fileno(q, &fd), 0);
  CHECK_EQ(mp_fileno(q, &again), 0);
  CHECK_EQ(fd, again);
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(readable(fd, 0), 0);
    put(q, "one");
    CHECK_EQ(readable(fd, 0), 1);
    put(q, "two");
    CHECK_EQ(get(q), 0);
    CHECK_EQ(readable(fd, 0), 1); /* there is another one */
    CHECK_EQ(get(q), 0);
    CHECK_EQ(readable(fd, 0), 0);
    CHECK_EQ(mp_ready(q), 0);
  }
  mp_queue_shutdown(q, 0);
  CHECK_EQ(readable(fd, 0), 1);
  mp_queue_close(q);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  mp_context_close(c);
}

TEST(a_queue_with_something_in_it_is_readable_at_once) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  int fd;
  put(q, "there");
  CHECK_EQ(mp_fileno(q, &fd), 0);
  CHECK_EQ(readable(fd, 0), 1);
  CHECK_EQ(mp_ready(q), 1);
  mp_queue_close(q);
  mp_context_close(c);
}

TEST(events_and_connections_have_one_too_and_locks_none) {
  struct mp_context *c = open_context();
  mp_event *e;
  mp_connection *end[2];
  mp_lock *l;
  int fd, in;
  CHECK_EQ(mp_event_new(c, &e), 0);
  CHECK_EQ(mp_pipe_new(c, 0, end), 0);
  CHECK_EQ(mp_lock_new(c, &l), 0);
  CHECK_EQ(mp_fileno(l, &fd), -EINVAL);
  CHECK_EQ(mp_fileno(end[1], &fd), -EINVAL); /* it only sends */
  CHECK_EQ(mp_fileno(e, &fd), 0);
  CHECK_EQ(mp_fileno(end[0], &in), 0);
  CHECK_EQ(readable(fd, 0) + readable(in, 0), 0);
  mp_event_set(e);
  CHECK_EQ(readable(fd, 0), 1);
  mp_event_clear(e);
  CHECK_EQ(readable(fd, 0), 0);
  mp_connection_close(end[1]);
  CHECK_EQ(readable(in, 0), 1); /* the end */
  CHECK_EQ(mp_connection_poll(end[0], MP_NOW), 0);
  CHECK_EQ(readable(in, 0), 1);
  mp_event_close(e);
  mp_connection_close(end[0]);
  mp_lock_close(l);
  check_all(c);
  mp_context_close(c);
}

#define WATCHERS 20 /* more than are rung at a time */

TEST(all_that_watch_are_rung_once_each) {
  struct mp_context *c = open_context(), *watcher[WATCHERS];
  mp_queue *q = make_queue(c), *theirs[WATCHERS];
  int fd[WATCHERS];
  for (int i = 0; i < WATCHERS; i++) {
    watcher[i] = open_context();
    theirs[i] = share(watcher[i], q);
    CHECK_EQ(mp_fileno(theirs[i], &fd[i]), 0);
    CHECK_EQ(readable(fd[i], 0), 0);
  }
  check_all(c);
  for (int n = 0; n < 1000; n++) put(q, "x");
  for (int i = 0; i < WATCHERS; i++) CHECK_EQ(readable(fd[i], 0), 1);
  for (int n = 0; n < 1000; n++) CHECK_EQ(get(theirs[n % WATCHERS]), 0);
  for (int i = 0; i < WATCHERS; i++) {
    CHECK_EQ(mp_ready(theirs[i]), 0);
    CHECK_EQ(readable(fd[i], 0), 0);
  }
  put(q, "y");
  for (int i = 0; i < WATCHERS; i++) CHECK_EQ(readable(fd[i], 0), 1);
  for (int i = 0; i < WATCHERS; i++) {
    mp_queue_close(theirs[i]);
    mp_context_close(watcher[i]);
  }
  check_all(c);
  mp_queue_close(q);
  mp_context_close(c);
}

/* A ringer that was killed between its change and its ring: the timer is there for that. */
TEST(a_ring_that_never_came_is_made_up_for) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  int fd;
  CHECK_EQ(mp_fileno(q, &fd), 0);
  c->ring = NULL;
  put(q, "x");
  double begun = test_now();
  CHECK_EQ(readable(fd, 2), 1);
  CHECK(test_now() - begun < 0.5 + TOLERANCE);
  CHECK_EQ(get(q), 0);
  CHECK_EQ(readable(fd, 0), 0);
  mp_queue_close(q);
  mp_context_close(c);
}

TEST(a_child_has_a_bell_of_its_own) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  int fd;
  CHECK_EQ(mp_fileno(q, &fd), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int own;
    CHECK(q->bell == NULL);
    CHECK_EQ(mp_fileno(q, &own), 0);
    CHECK_EQ(readable(own, 0), 0);
    put(q, "x");
    CHECK_EQ(readable(own, 0), 1);
    mp_context_close(c);
    _exit(0);
  }
  CHECK_EQ(readable(fd, 5), 1);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  check_all(c);
  CHECK_EQ(get(q), 0);
  mp_queue_close(q);
  check_all(c);
  mp_context_close(c);
}

TEST(a_killed_watcher_is_cleaned_up_after) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  mp_connection *up[2];
  mp_letter l;
  CHECK_EQ(mp_pipe_new(c, 0, up), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int own;
    mp_parcel p = {.bytes = "up", .length = 2};
    CHECK_EQ(mp_fileno(q, &own), 0);
    CHECK_EQ(mp_connection_send(up[1], &p, MP_FOREVER), 0);
    pause();
  }
  CHECK_EQ(mp_connection_receive(up[0], SIZE_MAX, mp_in(10), &l), 0);
  mp_letter_free(c, &l);
  check_all(c);
  kill(pid, SIGKILL);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  put(q, "x"); /* rings for the dead */
  mp_context_tend(c, true);
  check_all(c);
  CHECK_EQ(get(q), 0);
  mp_queue_close(q);
  mp_connection_close(up[0]);
  mp_connection_close(up[1]);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  mp_context_close(c);
}

#define MANY 5000

static void *producer(void *arg) {
  mp_queue *theirs = arg;
  struct mp_context *c = open_context();
  mp_queue *q = share(c, theirs);
  for (int i = 0; i < MANY; i++) {
    put(q, "x");
    if (i % 7 == 0) sched_yield();
  }
  mp_queue_close(q);
  mp_context_close(c);
  return NULL;
}

/* Waiting by the bell's own descriptor, without timer: no ring may be lost. */
TEST(no_ring_is_lost) {
  struct mp_context *c = open_context();
  mp_queue *q = make_queue(c);
  pthread_t t[2];
  int fd;
  CHECK_EQ(mp_bell_hang(q, &fd), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&t[i], NULL, producer, q), 0);
  for (int n = 0; n < 2 * MANY;) {
    CHECK_EQ(readable(fd, 5 * test_slow()), 1);
    while (get(q) == 0) n++;
  }
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  CHECK_EQ(get(q), MP_EMPTY); /* a last ring may have come after the last message was taken */
  CHECK_EQ(readable(fd, 0), 0);
  mp_queue_close(q);
  check_all(c);
  mp_context_close(c);
}
