/* The living among each other: what one does while another is between two stores, wake-ups that
** must reach somebody, and naps under a hail of signals. */
#include <pthread.h>
#include <sys/time.h>

#include "../../src/core/message.h"
#include "../../src/core/park.h"
#include "sync.h"

#define AT_ONCE (0.05 + TOLERANCE) /* what a wake-up may take; a long nap takes 0.5 s */
#define LONG_NAP 5u                /* a waiter's count of naps from which on they are that long */

/* ---- something else happens right before the n-th store of this thread ---- */

static _Thread_local struct {
  long left;
  void (*meanwhile)(void *arg);
  void *arg;
} race;

static void race_hook(const char *file, int line) {
  (void)file;
  (void)line;
  if (--race.left != 0) return;
  mp_crash_hook = NULL;
  race.meanwhile(race.arg);
}

static void race_begin(long n, void (*meanwhile)(void *arg), void *arg) {
  race.left = n;
  race.meanwhile = meanwhile;
  race.arg = arg;
  mp_crash_hook = race_hook;
}

/* True when there were that many stores. */
static bool race_end(void) {
  mp_crash_hook = NULL;
  return race.left <= 0;
}

/* ---- the process table ---- */

static void tend_now(void *arg) {
  mp_context_tend(arg, true);
}

TEST(a_reserved_slot_is_never_taken_for_dead) {
  bool more = true;
  for (long n = 1; more; n++) {
    struct mp_context *a = sync_context(), *b = sync_context();
    uint32_t index;
    race_begin(n, tend_now, b);
    CHECK_EQ(mp_slot_reserve(a, &index), 0);
    more = race_end();
    const struct mp_slot *s = mp_slot_at(&a->arena, index);
    CHECK_EQ(mp_slot_state_of(w64_get(&s->who)), MP_SLOT_RESERVED);
    CHECK_EQ(w32_get(&s->parent), a->tag);
    mp_context_close(b);
    mp_context_close(a);
  }
}

TEST(a_child_that_dies_before_its_slot_is_its_own_is_collected) {
  struct mp_context *a = sync_context();
  uint32_t index, ended = mp_slot_ended_word(-SIGKILL);
  CHECK_EQ(mp_slot_reserve(a, &index), 0);
  mp_context_collect(a, mp_slot_tag(&a->arena, index), &ended);
  CHECK_EQ(w64_get(&mp_slot_at(&a->arena, index)->who), 0);
  sync_check(a);
  mp_context_close(a);
}

struct successor {
  struct mp_context *by, new;
  uint32_t index;
  int pid;
};

/* The dead one is cleaned up, and a new process with its pid has its slot. */
static void succeed(void *arg) {
  struct successor *s = arg;
  mp_context_tend(s->by, true);
  s->new.arena = s->by->arena;
  s->new.pid = s->pid;
  CHECK_EQ(mp_slot_claim(&s->new, &s->index), 0);
}

TEST(a_slot_s_next_life_is_not_buried_with_the_last) {
  struct mp_context *a = sync_context();
  struct successor s = {.by = sync_context()};
  uint32_t tag;
  CHECK_EQ(mp_context_fork(a, false, &s.pid, &tag), 0);
  if (s.pid == 0) sync_exit();
  sync_join(s.pid);
  race_begin(1, succeed, &s); /* the first store of the clean-up is the one that says: dead */
  mp_context_tend(a, true);
  CHECK(race_end());
  CHECK_EQ(s.index, mp_tag_index(tag));
  CHECK_EQ(mp_slot_state_of(w64_get(&s.new.slot->who)), MP_SLOT_LIVE);
  mp_slot_resign(&s.new);
  mp_context_close(s.by);
  mp_context_close(a);
}

static uint32_t slots_taken(struct mp_context *c) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < w32_get(&mp_proctab(&c->arena)->high); i++)
    n += w64_get(&mp_slot_at(&c->arena, i)->who) != 0;
  return n;
}

/* Arrays of all sizes until there is no memory for one more, then the smallest objects. */
static void eat_memory(struct mp_context *c) {
  mp_event *small;
  for (size_t bytes = 4 << 20; bytes > 8; bytes -= bytes / 8) {
    mp_array_options o = {.code = 'B', .count = bytes};
    mp_array *eaten;
    while (mp_array_new(c, &o, &eaten) == 0) {}
  }
  while (mp_event_new(c, &small) == 0) {}
}

TEST(a_fork_without_memory_leaves_no_slot) {
  struct mp_context *c = sync_context();
  eat_memory(c);
  for (int i = 0; i < 3; i++) {
    int pid;
    uint32_t tag;
    CHECK_EQ(mp_context_fork(c, true, &pid, &tag), -ENOMEM);
    CHECK_EQ(slots_taken(c), 1);
  }
  mp_context_close(c);
}

TEST(who_leaves_with_a_message_in_hand_leaves_an_empty_slot) {
  struct mp_context *a = sync_context(), *b = sync_context();
  struct mp_handle *h;
  mp_ref message;
  CHECK_EQ(mp_object_new(a, MP_KIND_LOCK, 256, &h), 0);
  mp_object_publish(h, NULL, 0);
  mp_ticket t = mp_handle_ticket(h);
  struct mp_parcel p = {.tickets = &t, .ticket_count = 1};
  CHECK_EQ(mp_message_reserve(a, &p, &message), 0);
  mp_handle_close(h);
  mp_context_close(a);
  sync_check(b);
  mp_context_close(b);
}

static void *open_in_thread(void *arg) {
  *(struct mp_context **)arg = sync_context();
  return NULL;
}

TEST(what_one_thread_s_child_is_to_have_no_other_thread_s_gets) {
  struct mp_context *a = sync_context(), *b;
  uint32_t index;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, open_in_thread, &b), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(mp_slot_reserve(b, &index), 0);
  b->child = index + 1; /* its thread is about to fork */
  pid_t pid = fork();
  if (pid == 0) _exit(mp_context_valid(b) || !mp_context_valid(a));
  sync_join(pid);
  CHECK_EQ(mp_slot_state_of(w64_get(&mp_slot_at(&a->arena, index)->who)), MP_SLOT_RESERVED);
  CHECK_EQ(b->child, index + 1);
  mp_context_close(b);
  mp_context_close(a);
}

/* ---- wake-ups ---- */

struct sleeper {
  struct mp_context *c;
  struct mp_park *park;
  struct mp_handle *queue;
  double woken; /* when */
  int result;
  pthread_t thread;
};

static void await_sleep(const struct mp_context *c) {
  for (double end = test_now() + 10; w64_get(&c->slot->waits) == 0; test_sleep(0.001))
    CHECK(test_now() < end);
  test_sleep(0.02);
}

static void *sleep_on_park(void *arg) {
  struct sleeper *s = arg;
  unsigned nap = LONG_NAP;
  uint32_t seq = mp_park_ticket(s->park);
  mp_park_announce(s->park);
  s->result = mp_park_wait(s->c, s->park, seq, MP_FOREVER, &nap);
  s->woken = test_now();
  return NULL;
}

struct waker {
  struct mp_context *c;
  struct mp_park *park;
};

static void wake_one(void *arg) {
  const struct waker *w = arg;
  mp_park_wake(w->c, w->park, 1);
}

/* Two sleep; one wakes one, and before any of its stores another wakes one. */
static bool two_wakers(struct mp_context *a, struct mp_context *b, struct mp_park *p, long n) {
  struct sleeper s[2] = {{.c = sync_context(), .park = p}, {.c = sync_context(), .park = p}};
  struct waker other = {b, p};
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(pthread_create(&s[i].thread, NULL, sleep_on_park, &s[i]), 0);
    await_sleep(s[i].c);
  }
  double start = test_now();
  race_begin(n, wake_one, &other);
  mp_park_wake(a, p, 1);
  bool there = race_end();
  if (!there) mp_park_wake(b, p, 1);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(pthread_join(s[i].thread, NULL), 0);
    if (s[i].woken - start > AT_ONCE)
      test_fail(__FILE__, __LINE__, "store %ld: nobody woke sleeper %d", n, i);
    mp_context_close(s[i].c);
  }
  return there;
}

TEST(two_wakers_wake_two) {
  struct mp_context *a = sync_context(), *b = sync_context();
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(a, sizeof(struct mp_park), MP_BLOCK_PLAIN, &block), 0);
  memset(mp_at(a, block), 0, sizeof(struct mp_park));
  for (long n = 1; two_wakers(a, b, mp_at(a, block), n); n++) {}
  mp_heap_unreserve(a, block);
  mp_context_close(b);
  mp_context_close(a);
}

static void sleeper_open(struct sleeper *s, struct mp_handle *queue, void *(*run)(void *)) {
  s->c = sync_context();
  CHECK_EQ(mp_handle_open(s->c, mp_handle_ticket(queue), &s->queue), 0);
  CHECK_EQ(pthread_create(&s->thread, NULL, run, s), 0);
  await_sleep(s->c);
}

static void sleeper_close(struct sleeper *s) {
  CHECK_EQ(pthread_join(s->thread, NULL), 0);
  mp_handle_close(s->queue);
  mp_context_close(s->c);
}

static void *put_ten_bytes(void *arg) {
  struct sleeper *s = arg;
  struct mp_parcel p = {.bytes = "0123456789", .length = 10};
  s->result = mp_queue_put(s->queue, &p, MP_FOREVER);
  s->woken = test_now();
  return NULL;
}

TEST(room_for_two_lets_two_putters_in) {
  struct mp_context *c = sync_context();
  mp_queue_options o = {.max_bytes = 20};
  mp_queue *q;
  mp_letter l;
  struct sleeper s[2];
  struct mp_parcel p = {.bytes = "01234567890123456789", .length = 20};
  CHECK_EQ(mp_queue_new(c, &o, &q), 0);
  CHECK_EQ(mp_queue_put(q, &p, MP_NOW), 0);
  for (int i = 0; i < 2; i++) sleeper_open(&s[i], q, put_ten_bytes);
  test_sleep(0.7); /* their naps have become long */
  double start = test_now();
  CHECK_EQ(mp_queue_get(q, MP_NOW, &l), 0);
  mp_letter_free(c, &l);
  for (int i = 0; i < 2; i++) {
    sleeper_close(&s[i]);
    CHECK_EQ(s[i].result, 0);
    CHECK(s[i].woken - start < AT_ONCE);
  }
  mp_queue_close(q);
  mp_context_close(c);
}

static void *poll_queue(void *arg) {
  struct sleeper *s = arg;
  s->result = mp_connection_poll(s->queue, MP_FOREVER);
  s->woken = test_now();
  return NULL;
}

static void *receive(void *arg) {
  struct sleeper *s = arg;
  mp_letter l;
  s->result = mp_connection_receive(s->queue, SIZE_MAX, MP_FOREVER, &l);
  s->woken = test_now();
  return NULL;
}

TEST(who_polls_keeps_no_wake_up_to_itself) {
  struct mp_context *c = sync_context();
  mp_connection *end[2];
  struct sleeper s[3];
  struct mp_parcel p = {.bytes = "x", .length = 1};
  CHECK_EQ(mp_pipe_new(c, 0, end), 0);
  sleeper_open(&s[0], end[0], poll_queue);
  sleeper_open(&s[1], end[0], poll_queue);
  sleeper_open(&s[2], end[0], receive);
  test_sleep(0.65);
  double start = test_now();
  CHECK_EQ(mp_connection_send(end[1], &p, MP_NOW), 0);
  CHECK_EQ(pthread_join(s[2].thread, NULL), 0);
  CHECK_EQ(s[2].result, 0);
  CHECK(s[2].woken - start < AT_ONCE);
  CHECK_EQ(mp_connection_send(end[1], &p, MP_NOW), 0); /* whom the message has slipped from */
  for (int i = 0; i < 2; i++) sleeper_close(&s[i]);
  mp_handle_close(s[2].queue);
  mp_context_close(s[2].c);
  for (int i = 0; i < 2; i++) mp_connection_close(end[i]);
  mp_context_close(c);
}

/* Two wait for the same thing, and the one that is woken has no memory to take it. */
static void check_both_woken(struct sleeper s[2], double start, int result) {
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_join(s[i].thread, NULL), 0);
  CHECK_EQ(s[0].result, -ENOMEM);
  CHECK_EQ(s[1].result, result);
  CHECK(s[1].woken - start < AT_ONCE);
  for (int i = 0; i < 2; i++) {
    mp_handle_close(s[i].queue);
    mp_context_close(s[i].c);
  }
}

static void *put_one_byte(void *arg) {
  struct sleeper *s = arg;
  struct mp_parcel p = {.bytes = "x", .length = 1};
  s->result = mp_queue_put(s->queue, &p, MP_FOREVER);
  s->woken = test_now();
  return NULL;
}

TEST(a_putter_without_memory_passes_its_wake_up_on) {
  struct mp_context *c = sync_context();
  mp_queue_options o = {.max_items = 31}; /* the cells of a segment: the next one needs another */
  mp_queue *q;
  mp_letter l;
  struct sleeper s[2];
  struct mp_parcel p = {.bytes = "x", .length = 1};
  CHECK_EQ(mp_queue_new(c, &o, &q), 0);
  for (int i = 0; i < 31; i++) CHECK_EQ(mp_queue_put(q, &p, MP_NOW), 0);
  eat_memory(c);
  for (int i = 0; i < 2; i++) sleeper_open(&s[i], q, put_one_byte);
  test_sleep(0.7);
  double start = test_now();
  CHECK_EQ(mp_queue_get(q, MP_NOW, &l), 0);
  mp_letter_free(c, &l);
  check_both_woken(s, start, -ENOMEM);
  mp_context_close(c);
}

static void *take_unit(void *arg) {
  struct sleeper *s = arg;
  s->result = mp_semaphore_acquire(s->queue, MP_FOREVER);
  s->woken = test_now();
  return NULL;
}

static void hold_unit(struct mp_context *c, mp_semaphore *s, mp_semaphore **out) {
  CHECK_EQ(mp_semaphore_open(c, mp_handle_ticket(s), out), 0);
  CHECK_EQ(mp_semaphore_acquire(*out, MP_NOW), 0);
}

/* A semaphore's table has room for 8 holders: those who have a unit already need no more. */
TEST(an_acquirer_without_memory_passes_its_wake_up_on) {
  struct mp_context *c = sync_context(), *holder[6];
  mp_semaphore_options o = {9, MP_SEMAPHORE_BOUNDED};
  mp_semaphore *s, *theirs;
  struct sleeper sleeper[2] = {{.c = NULL}, {.c = sync_context()}};
  CHECK_EQ(mp_semaphore_new(c, &o, &s), 0);
  for (int i = 0; i < 2; i++) CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), 0);
  for (int i = 0; i < 6; i++) hold_unit(holder[i] = sync_context(), s, &theirs);
  hold_unit(sleeper[1].c, s, &sleeper[1].queue);
  eat_memory(c);
  sleeper_open(&sleeper[0], s, take_unit);
  CHECK_EQ(pthread_create(&sleeper[1].thread, NULL, take_unit, &sleeper[1]), 0);
  await_sleep(sleeper[1].c);
  test_sleep(0.7);
  double start = test_now();
  CHECK_EQ(mp_semaphore_release(s), 0);
  check_both_woken(sleeper, start, 0);
  for (int i = 0; i < 6; i++) mp_context_close(holder[i]);
  mp_context_close(c);
}

/* ---- deadlines and signals ---- */

static void dawdle(const char *file, int line) {
  (void)file;
  (void)line;
  test_sleep(0.003);
}

TEST(a_slow_putter_waits_as_long_as_it_means_to) {
  struct mp_context *c = sync_context();
  mp_queue_options o = {.max_items = 1};
  mp_queue *q;
  struct mp_parcel p = {.bytes = "x", .length = 1};
  CHECK_EQ(mp_queue_new(c, &o, &q), 0);
  CHECK_EQ(mp_queue_put(q, &p, MP_NOW), 0);
  double start = test_now();
  mp_crash_hook = dawdle;
  CHECK_EQ(mp_queue_put(q, &p, mp_in(0.3)), MP_TIMEOUT);
  mp_crash_hook = NULL;
  CHECK_TOOK(test_now() - start, 0.3);
  mp_queue_close(q);
  mp_context_close(c);
}

static void ignore(int signal_number) {
  (void)signal_number;
}

static void hail(long microseconds) {
  struct sigaction a = {.sa_handler = ignore};
  struct itimerval every = {{0, microseconds}, {0, microseconds}};
  CHECK_EQ(sigaction(SIGALRM, &a, NULL), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
}

TEST(under_a_hail_of_signals_a_dead_holder_is_noticed) {
  struct mp_context *c = sync_context();
  mp_ref block;
  int pid;
  CHECK_EQ(mp_heap_reserve(c, 64, MP_BLOCK_PLAIN, &block), 0);
  memset(mp_at(c, block), 0, 64);
  mp_mutex *m = mp_at(c, block);
  if (sync_fork(c, &pid)) {
    mp_mutex_lock(c, m);
    sync_exit();
  }
  sync_join(pid);
  hail(5000);
  double start = test_now();
  mp_mutex_lock(c, m);
  CHECK(test_now() - start < 1 + TOLERANCE);
  mp_mutex_unlock(c, m);
  hail(0);
  mp_heap_unreserve(c, block);
  mp_context_close(c);
}

/* A child takes the only unit and dies; how long does it take to get it, by naps of `each`? */
static double unit_of_the_dead(struct mp_context *c, double each) {
  mp_semaphore_options o = {1, MP_SEMAPHORE_UNDO};
  mp_semaphore *s;
  int pid, r;
  CHECK_EQ(mp_semaphore_new(c, &o, &s), 0);
  if (sync_fork(c, &pid)) {
    CHECK_EQ(mp_semaphore_acquire(s, MP_NOW), 0);
    sync_exit();
  }
  sync_join(pid);
  double start = test_now();
  do r = mp_semaphore_acquire(s, mp_in(each));
  while (r == MP_TIMEOUT && test_now() - start < 5);
  CHECK_EQ(r, 0);
  mp_semaphore_close(s);
  return test_now() - start;
}

TEST(short_naps_see_the_dead_too) {
  struct mp_context *c = sync_context();
  CHECK(unit_of_the_dead(c, 0.004) < 1 + TOLERANCE);
  mp_context_close(c);
}

TEST(interrupted_naps_see_the_dead_too) {
  struct mp_context *c = sync_context();
  hail(5000);
  CHECK(unit_of_the_dead(c, 4) < 1 + TOLERANCE);
  hail(0);
  mp_context_close(c);
}
