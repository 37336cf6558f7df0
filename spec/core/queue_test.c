/* The queue: order, bounds, waiting, batches, ends; in one process and in several. */
#include "../../src/core/context.h"
#include "../../src/core/clock.h"
#include "../../src/core/queue.h"
#include "test.h"

#include <pthread.h>

static struct mp_context *open_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 128 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static void check_arena(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

static mp_queue *new_queue(struct mp_context *c, uint64_t items, uint64_t bytes, unsigned flavour) {
  mp_queue *q;
  mp_queue_options o = {items, bytes, flavour};
  CHECK_EQ(mp_queue_new(c, &o, &q), 0);
  return q;
}

/* A second participant's handle on the same queue. */
static mp_queue *same_queue(struct mp_context *c, const mp_queue *q) {
  mp_queue *mine;
  CHECK_EQ(mp_queue_open(c, mp_handle_ticket(q), &mine), 0);
  return mine;
}

static int put_bytes(mp_queue *q, const void *bytes, size_t n, mp_deadline until) {
  mp_parcel p = {.bytes = bytes, .length = n};
  return mp_queue_put(q, &p, until);
}

static int put_number(mp_queue *q, uint64_t n, mp_deadline until) {
  return put_bytes(q, &n, sizeof n, until);
}

/* A number in a message of `size` bytes. */
static int put_sized(mp_queue *q, uint64_t n, size_t size, mp_deadline until) {
  static unsigned char bytes[200000];
  CHECK(size >= sizeof n && size <= sizeof bytes);
  memset(bytes, (int)n, size);
  memcpy(bytes, &n, sizeof n);
  return put_bytes(q, bytes, size, until);
}

static uint64_t letter_number(const mp_letter *l) {
  uint64_t n;
  const unsigned char *bytes = l->parcel.bytes;
  CHECK(l->parcel.length >= sizeof n);
  memcpy(&n, bytes, sizeof n);
  for (size_t i = sizeof n; i < l->parcel.length; i++) CHECK_EQ(bytes[i], (unsigned char)n);
  return n;
}

static int get_number(mp_queue *q, mp_deadline until, uint64_t *out) {
  mp_letter l;
  int r = mp_queue_get(q, until, &l);
  if (r == 0) *out = letter_number(&l);
  if (r == 0) mp_letter_free(q->context, &l);
  return r;
}

static uint64_t must_get(mp_queue *q) {
  uint64_t n = 0;
  CHECK_EQ(get_number(q, MP_NOW, &n), 0);
  return n;
}

static uint64_t size_of(const mp_queue *q) {
  mp_queue_state s;
  mp_queue_look(q, &s);
  return s.size;
}

/* Nothing of the context's is left when its queues are closed. */
static void end_context(struct mp_context *c) {
  check_arena(c);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  mp_context_close(c);
}

TEST(order_and_lengths_are_kept) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  static const size_t sizes[] = {8, 9, 55, 56, 57, 64, 1000, 32700, 100000};
  for (uint64_t i = 0; i < 9 * 20; i++) CHECK_EQ(put_sized(q, i, sizes[i % 9], MP_NOW), 0);
  CHECK_EQ(size_of(q), 180);
  check_arena(c);
  for (uint64_t i = 0; i < 9 * 20; i++) {
    mp_letter l;
    CHECK_EQ(mp_queue_get(q, MP_NOW, &l), 0);
    CHECK_EQ(l.parcel.length, sizes[i % 9]);
    CHECK_EQ(letter_number(&l), i);
    CHECK(l.parcel.tail_length == 0 && l.parcel.ticket_count == 0);
    mp_letter_free(c, &l);
  }
  uint64_t n;
  CHECK_EQ(get_number(q, MP_NOW, &n), MP_EMPTY);
  CHECK(mp_queue_close(q) == NULL);
  end_context(c);
}

TEST(an_empty_message_is_a_message) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  mp_letter l;
  CHECK_EQ(put_bytes(q, NULL, 0, MP_NOW), 0);
  CHECK_EQ(mp_queue_get(q, MP_NOW, &l), 0);
  CHECK_EQ(l.parcel.length, 0);
  mp_letter_free(c, &l);
  mp_queue_close(q);
  end_context(c);
}

TEST(a_tail_follows_its_bytes) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  static char tail[5000];
  memset(tail, 'x', sizeof tail);
  mp_letter l;
  for (size_t n = 0; n < sizeof tail; n += 19) {
    mp_parcel p = {.bytes = "head", .length = 4, .tail = tail, .tail_length = n};
    CHECK_EQ(mp_queue_put(q, &p, MP_NOW), 0);
    CHECK_EQ(mp_queue_get(q, MP_NOW, &l), 0);
    CHECK_EQ(l.parcel.length, n + 4);
    CHECK(memcmp(l.parcel.bytes, "head", 4) == 0);
    CHECK(memcmp((const char *)l.parcel.bytes + 4, tail, n) == 0);
    mp_letter_free(c, &l);
  }
  mp_queue_close(q);
  end_context(c);
}

TEST(segments_come_and_go) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  uint64_t put = 0, got = 0;
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < 100 * (round % 7); i++) CHECK_EQ(put_number(q, put++, MP_NOW), 0);
    check_arena(c);
    for (int i = 0; i < 90 * (round % 6) && got < put; i++) CHECK_EQ(must_get(q), got++);
    check_arena(c);
  }
  while (got < put) CHECK_EQ(must_get(q), got++);
  check_arena(c);
  mp_heap_flush(c);
  CHECK(mp_heap_usage(c).allocated < 24000); /* one segment and the queue itself */
  mp_queue_close(q);
  end_context(c);
}

TEST(a_bound_of_items_is_kept) {
  struct mp_context *c = open_context();
  for (uint64_t max = 1; max < 200; max = max * 2 + 1) {
    mp_queue *q = new_queue(c, max, 0, MP_QUEUE_PLAIN);
    for (uint64_t round = 0; round < 3; round++) {
      for (uint64_t i = 0; i < max; i++) CHECK_EQ(put_number(q, i, MP_NOW), 0);
      CHECK_EQ(put_number(q, 0, MP_NOW), MP_FULL);
      CHECK_EQ(put_sized(q, 0, 500, MP_NOW), MP_FULL);
      CHECK_EQ(size_of(q), max);
      check_arena(c);
      for (uint64_t i = 0; i < max; i++) CHECK_EQ(must_get(q), i);
    }
    mp_queue_close(q);
  }
  end_context(c);
}

TEST(a_bound_of_bytes_is_kept) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 1000, MP_QUEUE_PLAIN);
  CHECK_EQ(put_sized(q, 1, 1001, MP_NOW), MP_TOO_BIG);
  CHECK_EQ(put_sized(q, 2, 1000, MP_NOW), 0);
  CHECK_EQ(put_number(q, 3, MP_NOW), MP_FULL);
  CHECK_EQ(must_get(q), 2);
  for (uint64_t i = 0; i < 10; i++) CHECK_EQ(put_sized(q, i, i % 2 ? 40 : 160, MP_NOW), 0);
  CHECK_EQ(put_number(q, 3, MP_NOW), MP_FULL);
  check_arena(c);
  CHECK_EQ(must_get(q), 0);
  CHECK_EQ(put_sized(q, 10, 161, MP_NOW), MP_FULL);
  CHECK_EQ(put_sized(q, 10, 160, MP_NOW), 0);
  for (uint64_t i = 1; i < 11; i++) CHECK_EQ(must_get(q), i);
  check_arena(c);
  mp_queue_close(q);
  end_context(c);
}

TEST(waiting_keeps_its_deadline) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 1, 0, MP_QUEUE_PLAIN);
  uint64_t n;
  double begin = test_now();
  CHECK_EQ(get_number(q, mp_in(0.1), &n), MP_TIMEOUT);
  CHECK_TOOK(test_now() - begin, 0.1);
  CHECK_EQ(put_number(q, 1, MP_FOREVER), 0);
  begin = test_now();
  CHECK_EQ(put_number(q, 2, mp_in(0.1)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - begin, 0.1);
  CHECK_EQ(put_number(q, 2, mp_in(0.0001)), MP_TIMEOUT);
  CHECK_EQ(get_number(q, MP_FOREVER, &n), 0);
  CHECK_EQ(n, 1);
  mp_queue_close(q);
  end_context(c);
}

static int always(void *arg) {
  (void)arg;
  return 1;
}

static void on_alarm(int s) {
  (void)s;
}

TEST(a_signal_interrupts_who_waits) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 1, 0, MP_QUEUE_PLAIN);
  struct sigaction a = {.sa_handler = on_alarm};
  uint64_t n;
  sigaction(SIGUSR1, &a, NULL);
  c->interrupted = always;
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    for (int i = 0; i < 3; i++) test_sleep(0.03), kill(parent, SIGUSR1);
    _exit(0);
  }
  CHECK_EQ(get_number(q, mp_in(5), &n), MP_INTERRUPTED);
  CHECK_EQ(put_number(q, 5, MP_NOW), 0);
  CHECK_EQ(put_number(q, 6, mp_in(5)), MP_INTERRUPTED);
  CHECK_EQ(size_of(q), 1);
  while (waitpid(pid, NULL, 0) < 0) CHECK_EQ(errno, EINTR);
  mp_context_tend(c, true); /* the child took part for a moment */
  mp_queue_close(q);
  end_context(c);
}

TEST(many_at_once) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 100, 0, MP_QUEUE_PLAIN);
  uint64_t numbers[250];
  mp_parcel p[250];
  for (uint64_t i = 0; i < 250; i++) {
    numbers[i] = i;
    p[i] = (mp_parcel){.bytes = &numbers[i], .length = 8};
  }
  size_t done, count;
  CHECK_EQ(mp_queue_put_many(q, p, 250, MP_NOW, &done), MP_FULL);
  CHECK_EQ(done, 100);
  check_arena(c);
  mp_letter l[64];
  uint64_t next = 0;
  while (next < 100) {
    CHECK_EQ(mp_queue_get_many(q, 64, MP_NOW, l, &count), 0);
    CHECK(count > 0 && count <= 32);
    for (size_t i = 0; i < count; i++) CHECK_EQ(letter_number(&l[i]), next++);
    for (size_t i = 0; i < count; i++) mp_letter_free(c, &l[i]);
  }
  CHECK_EQ(mp_queue_get_many(q, 64, MP_NOW, l, &count), MP_EMPTY);
  CHECK_EQ(mp_queue_put_many(q, p, 100, MP_NOW, &done), 0);
  CHECK_EQ(done, 100);
  mp_queue_close(q);
  end_context(c);
}

TEST(many_large_ones_at_once) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  static unsigned char bytes[10][300];
  mp_parcel p[10];
  for (uint64_t i = 0; i < 10; i++) {
    memset(bytes[i], (int)i, 300);
    memset(bytes[i] + 1, 0, 7);
    p[i] = (mp_parcel){.bytes = bytes[i], .length = i % 3 == 0 ? 8 : 300};
  }
  size_t done, count;
  CHECK_EQ(mp_queue_put_many(q, p, 10, MP_NOW, &done), 0);
  CHECK_EQ(done, 10);
  check_arena(c);
  mp_letter l[10];
  uint64_t next = 0;
  while (next < 10) {
    CHECK_EQ(mp_queue_get_many(q, 10, MP_NOW, l, &count), 0);
    for (size_t i = 0; i < count; i++) CHECK_EQ(letter_number(&l[i]), next++);
    check_arena(c); /* those that are being read are accounted for */
    for (size_t i = 0; i < count; i++) mp_letter_free(c, &l[i]);
  }
  mp_queue_close(q);
  end_context(c);
}

TEST(one_can_read_four_large_ones_at_once) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  mp_letter l[4], more;
  for (uint64_t i = 0; i < 6; i++) CHECK_EQ(put_sized(q, i, 100, MP_NOW), 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(mp_queue_get(q, MP_NOW, &l[i]), 0);
  CHECK_EQ(mp_queue_get(q, MP_NOW, &more), MP_LIMIT);
  CHECK_EQ(size_of(q), 2);
  check_arena(c);
  for (uint64_t i = 0; i < 4; i++) CHECK_EQ(letter_number(&l[i]), i);
  mp_letter_free(c, &l[2]);
  CHECK_EQ(must_get(q), 4);
  CHECK_EQ(letter_number(&l[3]), 3);
  mp_letter_free(c, &l[0]);
  mp_letter_free(c, &l[1]);
  mp_letter_free(c, &l[3]);
  CHECK_EQ(must_get(q), 5);
  mp_queue_close(q);
  end_context(c);
}

TEST(shutdown_lets_the_rest_be_taken) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 2, 0, MP_QUEUE_PLAIN);
  uint64_t n;
  CHECK_EQ(put_number(q, 1, MP_NOW), 0);
  mp_queue_shutdown(q, 0);
  CHECK_EQ(put_number(q, 2, MP_NOW), MP_CLOSED);
  CHECK_EQ(put_sized(q, 2, 1000, MP_FOREVER), MP_CLOSED);
  CHECK_EQ(must_get(q), 1);
  CHECK_EQ(get_number(q, MP_FOREVER, &n), MP_CLOSED);
  mp_queue_close(q);
  end_context(c);
}

TEST(immediate_shutdown_empties) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_JOINABLE);
  uint64_t n, lost = 0;
  for (uint64_t i = 0; i < 200; i++) CHECK_EQ(put_sized(q, i, i % 2 ? 8 : 200, MP_NOW), 0);
  CHECK_EQ(must_get(q), 0);
  mp_queue_shutdown(q, 1);
  CHECK_EQ(get_number(q, MP_FOREVER, &n), MP_CLOSED);
  CHECK_EQ(size_of(q), 0);
  check_arena(c);
  CHECK_EQ(mp_queue_join(q, MP_NOW, &lost), MP_TIMEOUT); /* the one that was taken */
  CHECK_EQ(mp_queue_task_done(q), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW, &lost), 0);
  mp_queue_close(q);
  end_context(c);
}

TEST(task_done_counts) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_JOINABLE);
  uint64_t lost = 0;
  CHECK_EQ(mp_queue_join(q, MP_FOREVER, &lost), 0);
  CHECK_EQ(mp_queue_task_done(q), MP_LIMIT);
  for (uint64_t i = 0; i < 3; i++) CHECK_EQ(put_number(q, i, MP_NOW), 0);
  must_get(q);
  CHECK_EQ(mp_queue_task_done(q), 0);
  CHECK_EQ(mp_queue_task_done(q), 0); /* before its get, as Python allows */
  check_arena(c);
  CHECK_EQ(mp_queue_join(q, mp_in(0.02), &lost), MP_TIMEOUT);
  CHECK_EQ(mp_queue_task_done(q), 0);
  CHECK_EQ(mp_queue_task_done(q), MP_LIMIT);
  CHECK_EQ(mp_queue_join(q, MP_FOREVER, &lost), 0);
  CHECK_EQ(must_get(q), 1);
  check_arena(c);
  mp_queue_shutdown(q, 1);
  check_arena(c);
  CHECK_EQ(lost, 0);
  mp_queue_close(q); /* what it still holds keeps the handle until the context ends */
  mp_context_close(c);
}

TEST(a_death_between_get_and_task_done_is_counted) {
  struct mp_context *c = open_context(), *worker = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_JOINABLE), *w = same_queue(worker, q);
  uint64_t lost = 0;
  for (uint64_t i = 0; i < 4; i++) CHECK_EQ(put_number(q, i, MP_NOW), 0);
  for (int i = 0; i < 3; i++) must_get(w);
  CHECK_EQ(mp_queue_task_done(w), 0);
  CHECK_EQ(mp_queue_task_done(q), 0); /* done by another: charged to the one that dies */
  mp_context_close(worker);
  check_arena(c);
  CHECK_EQ(mp_queue_join(q, MP_NOW, &lost), MP_TIMEOUT);
  must_get(q);
  CHECK_EQ(mp_queue_task_done(q), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW, &lost), MP_LOST);
  CHECK_EQ(lost, 1);
  CHECK_EQ(mp_queue_join(q, MP_NOW, &lost), 0); /* said once */
  mp_queue_close(q);
  end_context(c);
}

TEST(a_queue_travels_through_a_queue) {
  struct mp_context *c = open_context();
  mp_queue *outer = new_queue(c, 0, 0, MP_QUEUE_PLAIN), *inner = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  mp_ticket t = mp_handle_ticket(inner);
  mp_parcel p = {.bytes = "q", .length = 1, .tickets = &t, .ticket_count = 1};
  CHECK_EQ(mp_queue_put(outer, &p, MP_NOW), 0);
  CHECK_EQ(put_number(inner, 7, MP_NOW), 0);
  mp_queue_close(inner);
  check_arena(c);
  mp_letter l;
  CHECK_EQ(mp_queue_get(outer, MP_NOW, &l), 0);
  CHECK_EQ(l.parcel.ticket_count, 1);
  CHECK_EQ(mp_queue_open(c, l.parcel.tickets[0], &inner), 0);
  mp_letter_free(c, &l);
  check_arena(c);
  CHECK_EQ(must_get(inner), 7);
  mp_queue_close(inner);
  CHECK_EQ(mp_queue_put(outer, &p, MP_NOW), MP_FOREIGN);
  CHECK_EQ(size_of(outer), 0);
  mp_queue_close(outer);
  end_context(c);
}

TEST(queues_in_queues_end_without_recursion) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  for (int depth = 0; depth < 5000; depth++) {
    mp_queue *outer = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
    mp_ticket t = mp_handle_ticket(q);
    mp_parcel p = {.bytes = "q", .length = 1, .tickets = &t, .ticket_count = 1};
    CHECK_EQ(mp_queue_put(outer, &p, MP_NOW), 0);
    CHECK_EQ(put_sized(outer, 1, 100, MP_NOW), 0);
    mp_queue_close(q);
    q = outer;
  }
  mp_queue_close(q);
  end_context(c);
}

TEST(no_memory_changes_nothing) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 4 << 20, .space = 64 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  uint64_t put = 0, got = 0;
  int r;
  while ((r = put_sized(q, put, put % 2 ? 8 : 5000, MP_NOW)) == 0) put++;
  CHECK_EQ(r, -ENOMEM);
  CHECK_EQ(size_of(q), put);
  while ((r = put_number(q, put, MP_NOW)) == 0) put++; /* until a segment is wanting */
  CHECK_EQ(r, -ENOMEM);
  check_arena(c);
  while (got < put) CHECK_EQ(must_get(q), got++);
  CHECK_EQ(put_sized(q, 1, 5000, MP_NOW), 0);
  mp_queue_close(q);
  end_context(c);
}

/* ---- several processes ---- */

static struct child {
  int pid;
  uint32_t tag;
} spawn(struct mp_context *c, void (*body)(struct mp_context *, mp_queue *, uint64_t), mp_queue *q,
        uint64_t number) {
  struct child k;
  CHECK_EQ(mp_context_fork(c, true, &k.pid, &k.tag), 0);
  if (k.pid == 0) {
    body(c, q, number);
    mp_context_close(c);
    _exit(0);
  }
  return k;
}

static int wait_for(struct mp_context *c, struct child k) {
  int status;
  uint32_t ended;
  CHECK_EQ(waitpid(k.pid, &status, 0), k.pid);
  mp_context_collect(c, k.tag, &ended);
  return status;
}

static void reap(struct mp_context *c, struct child k) {
  CHECK_EQ(wait_for(c, k), 0);
}

static void murder(struct mp_context *c, struct child k) {
  kill(k.pid, SIGKILL);
  CHECK_EQ(wait_for(c, k), SIGKILL);
}

#define EACH 20000u

static void produce(struct mp_context *c, mp_queue *q, uint64_t number) {
  (void)c;
  for (uint64_t i = 0; i < EACH; i++) {
    uint64_t n = number << 32 | i;
    if (i % 100 == 0)
      CHECK_EQ(put_sized(q, n, 300, MP_FOREVER), 0);
    else
      CHECK_EQ(put_number(q, n, MP_FOREVER), 0);
  }
}

/* Takes from all producers until the queue is shut: each one's numbers come in order. */
static void consume(struct mp_context *c, mp_queue *q, uint64_t totals) {
  uint64_t last[4] = {0}, n, count = 0;
  (void)c;
  while (get_number(q, MP_FOREVER, &n) == 0) {
    CHECK(n >> 32 < 4);
    CHECK((n & 0xffffffff) + 1 > last[n >> 32]);
    last[n >> 32] = (n & 0xffffffff) + 1;
    count++;
  }
  CHECK_EQ(put_number((mp_queue *)(uintptr_t)totals, count, MP_FOREVER), 0);
}

static void many_processes(uint64_t max) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, max, 0, MP_QUEUE_PLAIN);
  mp_queue *totals = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  struct child producer[2], consumer[2];
  for (uint64_t i = 0; i < 2; i++) producer[i] = spawn(c, produce, q, i);
  for (uint64_t i = 0; i < 2; i++) consumer[i] = spawn(c, consume, q, (uintptr_t)totals);
  for (int i = 0; i < 2; i++) reap(c, producer[i]);
  mp_queue_shutdown(q, 0);
  for (int i = 0; i < 2; i++) reap(c, consumer[i]);
  CHECK_EQ(size_of(q), 0);
  CHECK_EQ(must_get(totals) + must_get(totals), 2 * EACH);
  mp_queue_close(totals);
  mp_queue_close(q);
  end_context(c);
}

TEST(two_put_and_two_get) {
  many_processes(0);
}
TEST(two_put_and_two_get_in_little_room) {
  many_processes(10);
}
TEST(two_put_and_two_get_in_the_least_room) {
  many_processes(1);
}

static void echo(struct mp_context *c, mp_queue *q, uint64_t handle) {
  mp_queue *back = (mp_queue *)(uintptr_t)handle;
  uint64_t n;
  (void)c;
  while (get_number(q, MP_FOREVER, &n) == 0) CHECK_EQ(put_number(back, n, MP_FOREVER), 0);
}

TEST(there_and_back) {
  struct mp_context *c = open_context();
  mp_queue *there = new_queue(c, 0, 0, MP_QUEUE_PLAIN), *back = new_queue(c, 0, 0, MP_QUEUE_PLAIN);
  struct child k = spawn(c, echo, there, (uintptr_t)back);
  uint64_t n = 0;
  for (uint64_t i = 0; i < 5000; i++) {
    CHECK_EQ(put_number(there, i, MP_FOREVER), 0);
    CHECK_EQ(get_number(back, MP_FOREVER, &n), 0);
    CHECK_EQ(n, i);
  }
  mp_queue_shutdown(there, 0);
  reap(c, k);
  mp_context_tend(c, true);
  mp_queue_close(there);
  mp_queue_close(back);
  end_context(c);
}

static void hold_and_wait(struct mp_context *c, mp_queue *q, uint64_t number) {
  mp_letter l;
  (void)c;
  (void)number;
  CHECK_EQ(mp_queue_get(q, MP_FOREVER, &l), 0);
  for (;;) pause();
}

TEST(a_killed_getter_takes_its_message_along) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 0, 0, MP_QUEUE_JOINABLE);
  uint64_t lost = 0;
  CHECK_EQ(put_sized(q, 1, 1000, MP_NOW), 0);
  CHECK_EQ(put_number(q, 2, MP_NOW), 0);
  struct child k = spawn(c, hold_and_wait, q, 0);
  for (double end = test_now() + 5; size_of(q) == 2 && test_now() < end;) test_sleep(0.001);
  int status;
  kill(k.pid, SIGKILL);
  CHECK_EQ(waitpid(k.pid, &status, 0), k.pid); /* but not cleaned up after */
  CHECK_EQ(must_get(q), 2);
  CHECK_EQ(mp_queue_task_done(q), 0);
  double begin = test_now();
  CHECK_EQ(mp_queue_join(q, mp_in(5), &lost), MP_LOST); /* found by who waits */
  CHECK(test_now() - begin < 1 + TOLERANCE);
  CHECK_EQ(lost, 1);
  uint32_t ended;
  mp_context_collect(c, k.tag, &ended);
  mp_queue_close(q);
  end_context(c);
}

static void put_for_ever(struct mp_context *c, mp_queue *q, uint64_t number) {
  (void)c;
  for (uint64_t i = 0;; i++) CHECK_EQ(put_sized(q, i, i % 2 ? 8 : 100, MP_FOREVER), 0);
  (void)number;
}

TEST(killed_producers_leave_whole_messages) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 50, 0, MP_QUEUE_PLAIN);
  for (int round = 0; round < 50; round++) {
    struct child k = spawn(c, put_for_ever, q, 0);
    uint64_t n, next = 0;
    for (double end = test_now() + 0.002 + round * 0.0003; test_now() < end;)
      if (get_number(q, MP_NOW, &n) == 0) CHECK_EQ(n, next++);
    murder(c, k);
    while (get_number(q, MP_NOW, &n) == 0) CHECK_EQ(n, next++);
  }
  mp_context_tend(c, true);
  check_arena(c);
  mp_queue_close(q);
  end_context(c);
}

static void get_for_ever(struct mp_context *c, mp_queue *q, uint64_t number) {
  uint64_t n;
  (void)c;
  (void)number;
  while (get_number(q, MP_FOREVER, &n) == 0) {}
}

TEST(shutdown_wakes_all_who_wait) {
  struct mp_context *c = open_context();
  mp_queue *q = new_queue(c, 1, 0, MP_QUEUE_PLAIN);
  struct child k[3];
  for (int i = 0; i < 3; i++) k[i] = spawn(c, get_for_ever, q, 0);
  test_sleep(0.05);
  double begin = test_now();
  mp_queue_shutdown(q, 0);
  for (int i = 0; i < 3; i++) reap(c, k[i]);
  CHECK(test_now() - begin < TOLERANCE);
  mp_context_tend(c, true);
  mp_queue_close(q);
  end_context(c);
}

/* ---- threads in the place of processes, for ThreadSanitizer ---- */

struct actor {
  mp_queue *q;
  uint64_t number, count;
};

static void *produce_in_thread(void *arg) {
  struct actor *a = arg;
  for (uint64_t i = 0; i < EACH / 4; i++) {
    uint64_t n = a->number << 32 | i;
    unsigned char bytes[100] = {0};
    memcpy(bytes, &n, sizeof n);
    CHECK_EQ(put_bytes(a->q, bytes, i % 10 == 0 ? 100 : 8, MP_FOREVER), 0);
  }
  return NULL;
}

static void *consume_in_thread(void *arg) {
  struct actor *a = arg;
  uint64_t last[2] = {0}, n;
  mp_letter l;
  while (mp_queue_get(a->q, MP_FOREVER, &l) == 0) {
    memcpy(&n, l.parcel.bytes, sizeof n);
    mp_letter_free(a->q->context, &l);
    CHECK(n >> 32 < 2 && (n & 0xffffffff) + 1 > last[n >> 32]);
    last[n >> 32] = (n & 0xffffffff) + 1;
    a->count++;
  }
  return NULL;
}

TEST(two_threads_put_and_two_get) {
  struct mp_context *c = open_context(), *own[4];
  mp_queue *q = new_queue(c, 20, 0, MP_QUEUE_JOINABLE);
  struct actor a[4];
  pthread_t t[4];
  for (uint64_t i = 0; i < 4; i++) {
    own[i] = open_context();
    a[i] = (struct actor){same_queue(own[i], q), i, 0};
    pthread_create(&t[i], NULL, i < 2 ? produce_in_thread : consume_in_thread, &a[i]);
  }
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  mp_queue_shutdown(q, 0);
  for (int i = 2; i < 4; i++) pthread_join(t[i], NULL);
  CHECK_EQ(a[2].count + a[3].count, EACH / 2);
  for (int i = 0; i < 4; i++) mp_context_close(own[i]);
  mp_queue_close(q);
  end_context(c);
}
