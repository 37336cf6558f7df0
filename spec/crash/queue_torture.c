/*
** Torture of the queue: producers and consumers, killed and stopped at random, and an oracle.
**
** Each worker keeps a journal in memory that survives it: a producer what it was about to put and
** what it has put, a consumer what it is about to take and each message that it took. At the end of
** a round the queue is drained and the journals are compared: a message was delivered at most once,
** whole, and after those that its producer had put before; it is missing only if a consumer died
** while it was taking; nobody who could go on was blocked; and no memory is left over.
** SECONDS= in all, SEED=; what a seed does depends on the scheduler too.
*/
#include "../../src/core/clock.h"
#include "../../src/core/context.h"
#include "../core/test.h"

#define WORKERS 6
#define LIVES 20000          /* in one round */
#define TAKEN_MAX (1u << 22) /* messages that one worker's place can take in one round */
#define BATCH 32

/* The journal of one life. Written by its worker alone. */
struct life {
  volatile uint64_t tried, put; /* number of the last message that it began to put; that is in */
  volatile uint32_t taking;     /* how many it may be taking just now */
  volatile uint64_t beat;       /* when it last began or ended something */
};

/* What one worker's place took: producer << 32 | number. */
struct taken {
  volatile uint32_t count;
  uint64_t id[TAKEN_MAX];
};

struct journal {
  volatile int stop;
  struct life life[LIVES];
  struct taken taken[WORKERS + 1]; /* the last one is the parent's own */
};

struct round {
  struct mp_context *c;
  mp_queue *q;
  unsigned flavour;
  struct journal *j;
  struct worker {
    int pid;
    uint32_t tag, life;
  } worker[WORKERS];
  uint32_t lives;
  uint64_t kills, stops;
  uint64_t random;
};

static uint64_t next_random(uint64_t *state) { /* xorshift */
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

/* ---- messages ---- */

#define MESSAGE_MAX 3000

static size_t message_size(uint64_t id) {
  uint64_t h = (id ^ id >> 32) * UINT64_C(0x9e3779b97f4a7c15);
  return h % 4 != 0 ? 8 + (h >> 40) % 49 : 8 + (h >> 40) % (MESSAGE_MAX - 8);
}

static mp_parcel message_make(unsigned char *at, uint64_t id) {
  size_t size = message_size(id);
  memset(at, (int)(id * 31 >> 3), size);
  memcpy(at, &id, sizeof id);
  return (mp_parcel){.bytes = at, .length = size};
}

static uint64_t message_read(const mp_letter *l) {
  uint64_t id;
  unsigned char expected[MESSAGE_MAX];
  CHECK(l->parcel.length >= sizeof id && l->parcel.length <= MESSAGE_MAX);
  memcpy(&id, l->parcel.bytes, sizeof id);
  mp_parcel p = message_make(expected, id);
  CHECK_EQ(l->parcel.length, p.length);
  CHECK(memcmp(l->parcel.bytes, p.bytes, p.length) == 0);
  return id;
}

/* ---- workers ---- */

static mp_deadline some_deadline(uint64_t *random) {
  switch (next_random(random) % 4) {
    case 0: return MP_NOW;
    case 1: return mp_in((double)(next_random(random) % 1000) / 1e6);
    default: return MP_FOREVER;
  }
}

static void beat(struct life *l) {
  l->beat = (uint64_t)mp_clock_now();
}

/* Puts messages until told to stop, one by one or several at once. */
static void produce(struct round *r, uint32_t number) {
  static unsigned char bytes[BATCH][MESSAGE_MAX];
  struct life *l = &r->j->life[number];
  uint64_t random = (number + 1) * UINT64_C(0x2545f4914f6cdd1d) ^ r->random, last = 0;
  mp_parcel p[BATCH];
  while (!r->j->stop) {
    size_t n = next_random(&random) % 3 != 0 ? 1 : 1 + next_random(&random) % BATCH, done = 0;
    for (size_t i = 0; i < n; i++)
      p[i] = message_make(bytes[i], (uint64_t)number << 32 | (last + 1 + i));
    beat(l);
    l->tried = last + n;
    int e = n == 1 ? mp_queue_put(r->q, p, some_deadline(&random))
                   : mp_queue_put_many(r->q, p, n, some_deadline(&random), &done);
    if (n == 1) done = e == 0;
    CHECK(e == 0 || e == MP_FULL || e == MP_TIMEOUT);
    last += done;
    l->put = last;
    beat(l);
  }
}

static void take_down(struct taken *t, uint64_t id) {
  CHECK(t->count < TAKEN_MAX);
  t->id[t->count] = id;
  __atomic_thread_fence(__ATOMIC_RELEASE);
  t->count++;
}

/* One get, and what was taken goes into the journal. */
static int consume_some(struct round *r, struct taken *t, size_t n, mp_deadline until) {
  mp_letter l[BATCH];
  size_t count = 0;
  int e = n == 1 ? mp_queue_get(r->q, until, l) : mp_queue_get_many(r->q, n, until, l, &count);
  if (n == 1) count = e == 0;
  for (size_t i = 0; i < count; i++) {
    take_down(t, message_read(&l[i]));
    mp_letter_free(r->c, &l[i]);
    if (r->flavour == MP_QUEUE_JOINABLE) CHECK_EQ(mp_queue_task_done(r->q), 0);
  }
  return e;
}

static void consume(struct round *r, uint32_t number, struct taken *t) {
  struct life *l = &r->j->life[number];
  uint64_t random = (number + 1) * UINT64_C(0x2545f4914f6cdd1d) ^ r->random;
  for (int e = 0; e != MP_CLOSED;) {
    size_t n = next_random(&random) % 3 != 0 ? 1 : 1 + next_random(&random) % BATCH;
    beat(l);
    l->taking = (uint32_t)n;
    e = consume_some(r, t, n, some_deadline(&random));
    l->taking = 0;
    CHECK(e == 0 || e == MP_EMPTY || e == MP_TIMEOUT || e == MP_CLOSED);
    beat(l);
  }
}

/* Even places produce, odd ones consume. */
static void start(struct round *r, int place) {
  struct worker *w = &r->worker[place];
  *w = (struct worker){.life = r->lives++};
  CHECK(r->lives <= LIVES);
  beat(&r->j->life[w->life]);
  CHECK_EQ(mp_context_fork(r->c, true, &w->pid, &w->tag), 0);
  if (w->pid != 0) return;
  if (place % 2 == 0)
    produce(r, w->life);
  else
    consume(r, w->life, &r->j->taken[place]);
  mp_context_close(r->c);
  _exit(0);
}

static void reap(struct round *r, int place, int expected) {
  struct worker *w = &r->worker[place];
  int status, pid;
  uint32_t ended;
  double end = test_now() + 20 * test_slow();
  while ((pid = waitpid(w->pid, &status, WNOHANG)) == 0 && test_now() < end) test_sleep(0.0002);
  if (pid != w->pid) test_fail(__FILE__, __LINE__, "worker %d does not end", place);
  if (status != expected)
    test_fail(__FILE__, __LINE__, "a worker ended with %#x", (unsigned)status);
  mp_context_collect(r->c, w->tag, &ended);
  w->pid = 0;
}

/* ---- the round ---- */

/* Kills one; now and then while another is stopped. A stopped worker may hold an internal mutex,
** and then all wait until it goes on (that is a promise not made); so we, who wake it, do nothing
** else meanwhile. */
static void hurt(struct round *r) {
  int place = (int)(next_random(&r->random) % WORKERS);
  const struct worker *other = &r->worker[next_random(&r->random) % WORKERS];
  bool stop = other != &r->worker[place] && next_random(&r->random) % 10 == 0;
  if (stop) kill(other->pid, SIGSTOP);
  kill(r->worker[place].pid, SIGKILL);
  r->kills++;
  if (stop) {
    test_sleep((double)(next_random(&r->random) % 10000) / 1e6);
    kill(other->pid, SIGCONT);
    r->stops++;
  }
  reap(r, place, SIGKILL);
  start(r, place);
}

/* Nobody may have been at one thing for long: there are producers and consumers
** at all times, so everyone's turn comes. */
static void check_alive(const struct round *r) {
  uint64_t now = (uint64_t)mp_clock_now();
  for (int i = 0; i < WORKERS; i++) {
    const struct worker *w = &r->worker[i];
    uint64_t last = r->j->life[w->life].beat;
    if (last < now && now - last > (uint64_t)(8e9 * test_slow()))
      test_fail(__FILE__, __LINE__, "worker %d has been blocked for %g s", i,
                (double)(now - last) / 1e9);
  }
}

/* Lets everybody come to an end and takes what is left. */
static void finish(struct round *r) {
  r->j->stop = 1;
  for (int i = 0; i < WORKERS; i += 2) reap(r, i, 0);
  mp_queue_shutdown(r->q, 0);
  for (int i = 1; i < WORKERS; i += 2) reap(r, i, 0);
  while (consume_some(r, &r->j->taken[WORKERS], BATCH, MP_NOW) == 0) {}
  mp_queue_state s;
  mp_queue_look(r->q, &s);
  CHECK_EQ(s.size, 0);
}

/* ---- the oracle ---- */

/* seen[life] has a bit for each of its messages */
static unsigned char **seen_new(const struct round *r) {
  unsigned char **seen = calloc(r->lives, sizeof *seen);
  CHECK(seen != NULL);
  for (uint32_t i = 0; i < r->lives; i++) {
    seen[i] = calloc(r->j->life[i].tried / 8 + 1, 1);
    CHECK(seen[i] != NULL);
  }
  return seen;
}

static void seen_free(const struct round *r, unsigned char **seen) {
  for (uint32_t i = 0; i < r->lives; i++) free(seen[i]);
  free(seen);
}

/* What one place took: from each producer in order, each message once. */
static void judge_taken(const struct round *r, const struct taken *t, unsigned char **seen) {
  uint64_t *last = calloc(r->lives, sizeof *last);
  CHECK(last != NULL);
  for (uint32_t i = 0; i < t->count; i++) {
    uint64_t life = t->id[i] >> 32, n = t->id[i] & 0xffffffff;
    CHECK(life < r->lives);
    CHECK(n >= 1 && n <= r->j->life[life].tried); /* somebody did put it */
    CHECK(n > last[life]);                        /* in order */
    last[life] = n;
    CHECK((seen[life][n / 8] >> n % 8 & 1) == 0); /* once */
    seen[life][n / 8] |= (unsigned char)(1 << n % 8);
  }
  free(last);
}

/* Gives how many messages are missing that were put for certain. */
static uint64_t count_missing(const struct round *r, unsigned char **seen) {
  uint64_t missing = 0;
  for (uint32_t life = 0; life < r->lives; life++)
    for (uint64_t n = 1; n <= r->j->life[life].put; n++)
      missing += (seen[life][n / 8] >> n % 8 & 1) == 0;
  return missing;
}

static void judge(const struct round *r) {
  unsigned char **seen = seen_new(r);
  uint64_t allowed = 0, delivered = 0;
  for (int i = 0; i <= WORKERS; i++) {
    judge_taken(r, &r->j->taken[i], seen);
    delivered += r->j->taken[i].count;
  }
  for (uint32_t life = 0; life < r->lives; life++) allowed += r->j->life[life].taking;
  uint64_t missing = count_missing(r, seen);
  seen_free(r, seen);
  if (missing > allowed)
    test_fail(__FILE__, __LINE__, "%ju messages are missing, those who died could hold %ju",
              (uintmax_t)missing, (uintmax_t)allowed);
  printf("torture: %ju messages, %ju killed, %ju stopped, %ju lost with those who took them\n",
         (uintmax_t)delivered, (uintmax_t)r->kills, (uintmax_t)r->stops, (uintmax_t)missing);
  CHECK(delivered > 0);
}

static void judge_joinable(struct round *r) {
  uint64_t lost = 0;
  int e = mp_queue_join(r->q, mp_in(5 * test_slow()), &lost);
  CHECK(e == 0 || e == MP_LOST);
  CHECK(lost <= r->kills * BATCH);
}

static void check_memory(struct round *r) {
  const char *wrong = mp_check_arena(r->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
  mp_queue_close(r->q);
  wrong = mp_check_arena(r->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "closed: %s", wrong);
  mp_heap_flush(r->c);
  CHECK_EQ(mp_heap_usage(r->c).allocated, 0);
}

/* Is there room in the journals? */
static bool has_room(const struct round *r) {
  for (int i = 0; i < WORKERS; i++)
    if (r->j->taken[i].count > TAKEN_MAX / 2) return false;
  return r->lives < LIVES - WORKERS;
}

static void run_round(const mp_queue_options *o, double seconds, uint64_t seed) {
  struct mp_context_options options = {.memory = 512 << 20, .space = 1 << 30};
  struct round r = {.random = seed, .flavour = o->flavour};
  size_t bytes = sizeof *r.j;
  r.j = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0);
  CHECK(r.j != MAP_FAILED);
  CHECK_EQ(mp_context_open(&options, &r.c), 0);
  CHECK_EQ(mp_queue_new(r.c, o, &r.q), 0);
  for (int i = 0; i < WORKERS; i++) start(&r, i);
  for (double end = test_now() + seconds; test_now() < end && has_room(&r);) {
    test_sleep((double)(next_random(&r.random) % 5000) / 1e6);
    hurt(&r);
    check_alive(&r);
  }
  finish(&r);
  judge(&r);
  if (o->flavour == MP_QUEUE_JOINABLE) judge_joinable(&r);
  check_memory(&r);
  mp_context_close(r.c);
  munmap(r.j, bytes);
}

static double setting(const char *name, double otherwise) {
  const char *s = getenv(name);
  return s != NULL && atof(s) > 0 ? atof(s) : otherwise;
}

/* Each kind of queue has its share of the time. */
static void torture(uint64_t items, uint64_t bytes, unsigned flavour, uint64_t salt) {
  mp_queue_options o = {items, bytes, flavour};
  uint64_t seed = (uint64_t)setting("SEED", 1) * 1000003 + salt;
  double end = test_now() + setting("SECONDS", 10) / 5, left;
  for (; (left = end - test_now()) > 0; seed += 5) run_round(&o, left < 10 ? left : 10, seed);
}

#define TORTURE(name, items, bytes, flavour, salt) \
  LONG_TEST(name, 86400) { torture(items, bytes, flavour, salt); }

TORTURE(a_bounded_queue, 100, 0, MP_QUEUE_PLAIN, 1)
TORTURE(a_narrow_queue, 1, 0, MP_QUEUE_PLAIN, 2)
TORTURE(a_long_queue, 20000, 0, MP_QUEUE_PLAIN, 3)
TORTURE(a_queue_of_bytes, 0, 20000, MP_QUEUE_PLAIN, 4)
TORTURE(a_joinable_queue, 50, 0, MP_QUEUE_JOINABLE, 5)
