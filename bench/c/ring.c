/*
 * The floor of the queues: a ring of bytes in shared memory, one mutex, two conditions.
 *
 *     ring small | table | 1k | 1m | mpmc
 *
 * A message is its length and its bytes. The ring is full when it holds `limit` messages, or when
 * the bytes would not fit. The consumer copies each message out, as a queue must.
 */
#include "floor.h"

#include <pthread.h>
#include <string.h>

enum { RING_BYTES = 16 << 20, MESSAGE_LIMIT = 1 << 20 };

static const uint64_t STOP = UINT64_MAX; /* no producer's number */

struct ring {
  struct floor_gate gate;
  pthread_mutex_t lock; /* protects all below */
  pthread_cond_t filled, emptied;
  size_t limit, count;
  size_t head, used; /* of bytes: where the oldest message starts, how many are taken */
  /* what the workers are to do; written before they start */
  size_t size, messages;
  _Atomic size_t got;
  unsigned char bytes[RING_BYTES];
};

static void ring_open(struct ring *r, size_t limit, size_t size, size_t messages) {
  pthread_mutexattr_t ma;
  pthread_condattr_t ca;
  pthread_mutexattr_init(&ma);
  pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
  pthread_condattr_init(&ca);
  pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&r->lock, &ma);
  pthread_cond_init(&r->filled, &ca);
  pthread_cond_init(&r->emptied, &ca);
  r->limit = limit;
  r->size = size;
  r->messages = messages;
}

static void ring_write(struct ring *r, const void *from, size_t n) {
  size_t at = (r->head + r->used) % RING_BYTES;
  size_t first = n < RING_BYTES - at ? n : RING_BYTES - at;
  memcpy(r->bytes + at, from, first);
  memcpy(r->bytes, (const unsigned char *)from + first, n - first);
  r->used += n;
}

static void ring_read(struct ring *r, void *to, size_t n) {
  size_t first = n < RING_BYTES - r->head ? n : RING_BYTES - r->head;
  memcpy(to, r->bytes + r->head, first);
  memcpy((unsigned char *)to + first, r->bytes, n - first);
  r->head = (r->head + n) % RING_BYTES;
  r->used -= n;
}

static void ring_put(struct ring *r, const void *message, uint32_t n) {
  pthread_mutex_lock(&r->lock);
  while (r->count == r->limit || r->used + sizeof n + n > RING_BYTES)
    pthread_cond_wait(&r->emptied, &r->lock);
  ring_write(r, &n, sizeof n);
  ring_write(r, message, n);
  r->count++;
  pthread_cond_signal(&r->filled);
  pthread_mutex_unlock(&r->lock);
}

static uint32_t ring_get(struct ring *r, void *message) {
  uint32_t n;
  pthread_mutex_lock(&r->lock);
  while (r->count == 0)
    pthread_cond_wait(&r->filled, &r->lock);
  ring_read(r, &n, sizeof n);
  ring_read(r, message, n);
  r->count--;
  pthread_cond_signal(&r->emptied);
  pthread_mutex_unlock(&r->lock);
  return n;
}

static void produce(void *shared) {
  struct ring *r = shared;
  unsigned char *message = calloc(1, MESSAGE_LIMIT);
  if (message == NULL)
    floor_fail("calloc");
  floor_arrive(&r->gate);
  for (size_t i = 0; i < r->messages; i++) {
    memcpy(message, &i, sizeof i);
    ring_put(r, message, (uint32_t)r->size);
  }
}

static void consume(void *shared) {
  struct ring *r = shared;
  uint64_t value = 0;
  size_t got = 0;
  floor_arrive(&r->gate);
  while (ring_get(r, &value) == sizeof value && value != STOP)
    got++;
  atomic_fetch_add(&r->got, got);
}

static double one_to_one(size_t limit, size_t size, long messages) {
  struct ring *r = floor_share(sizeof *r);
  unsigned char *message = malloc(MESSAGE_LIMIT);
  if (message == NULL)
    floor_fail("malloc");
  ring_open(r, limit, size, (size_t)messages);
  floor_start(produce, r);
  double start = floor_open(&r->gate, 1);
  for (long i = 0; i < messages; i++)
    ring_get(r, message);
  double spent = floor_now() - start;
  floor_join(1);
  free(message);
  return (double)messages / spent;
}

static double two_to_two(long messages) {
  struct ring *r = floor_share(sizeof *r);
  ring_open(r, 1000, sizeof STOP, (size_t)messages / 2);
  floor_start(consume, r);
  floor_start(consume, r);
  floor_start(produce, r);
  floor_start(produce, r);
  double start = floor_open(&r->gate, 4);
  floor_join(2); /* the producers: no consumer ends before it is told to */
  ring_put(r, &STOP, sizeof STOP);
  ring_put(r, &STOP, sizeof STOP);
  floor_join(2);
  double spent = floor_now() - start;
  if (atomic_load(&r->got) != (size_t)messages / 2 * 2)
    floor_fail("mpmc: the count is wrong");
  return (double)messages / spent;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "small";
  const long many = floor_amount(1000000);
  if (strcmp(what, "small") == 0) {
    floor_report("queue_small", one_to_one(1000, 8, many));
    floor_report("queue_small_unbounded", one_to_one(SIZE_MAX, 8, many));
  } else if (strcmp(what, "table") == 0) {
    floor_report("queue_table", one_to_one(1000, 40, many)); /* its length on the wire */
  } else if (strcmp(what, "1k") == 0) {
    floor_report("queue_1k", one_to_one(1000, 1024, many));
  } else if (strcmp(what, "1m") == 0) {
    floor_report("queue_1m", one_to_one(1000, 1 << 20, floor_amount(3000)) * (1 << 20) / 1e6);
  } else if (strcmp(what, "mpmc") == 0) {
    floor_report("queue_mpmc", two_to_two(many));
  } else {
    fprintf(stderr, "usage: ring small|table|1k|1m|mpmc\n");
    return 2;
  }
  return 0;
}
