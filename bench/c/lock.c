/*
 * The floors of the locks and of the values under one.
 *
 *     lock futex | robust | value
 *
 * futex and robust: one pair of calls with nobody else there, in nanoseconds (reported for methods
 * and for locals alike), then four processes that add to one counter under the lock, additions a
 * second. value: read and write of a double under the robust mutex.
 */
#include "futex_lock.h"

#include <pthread.h>
#include <string.h>

enum { WORKERS = 4 };

struct shelf {
  struct floor_gate gate;
  _Alignas(64) _Atomic uint32_t word;
  pthread_mutex_t mutex;
  _Alignas(64) volatile long counter; /* protected by the lock that is being measured */
  long additions;
  volatile double number;
};

static struct shelf *shelf_open(long additions) {
  struct shelf *s = floor_share(sizeof *s);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s->mutex, &a);
  s->additions = additions;
  return s;
}

static void add_by_futex(void *shared) {
  struct shelf *s = shared;
  floor_arrive(&s->gate);
  for (long i = 0; i < s->additions; i++) {
    futex_lock_acquire(&s->word);
    s->counter++;
    futex_lock_release(&s->word);
  }
}

static void add_by_mutex(void *shared) {
  struct shelf *s = shared;
  floor_arrive(&s->gate);
  for (long i = 0; i < s->additions; i++) {
    pthread_mutex_lock(&s->mutex);
    s->counter++;
    pthread_mutex_unlock(&s->mutex);
  }
}

static double contended(void (*work)(void *)) {
  struct shelf *s = shelf_open(floor_amount(1000000));
  for (int i = 0; i < WORKERS; i++)
    floor_start(work, s);
  double start = floor_open(&s->gate, WORKERS);
  floor_join(WORKERS);
  double spent = floor_now() - start;
  if (s->counter != WORKERS * s->additions)
    floor_fail("the counter is wrong");
  return (double)s->counter / spent;
}

static double pair_by_futex(long n) {
  struct shelf *s = shelf_open(0);
  double start = floor_now();
  for (long i = 0; i < n; i++) {
    futex_lock_acquire(&s->word);
    futex_lock_release(&s->word);
  }
  return (floor_now() - start) / (double)n * 1e9;
}

static double pair_by_mutex(long n) {
  struct shelf *s = shelf_open(0);
  double start = floor_now();
  for (long i = 0; i < n; i++) {
    pthread_mutex_lock(&s->mutex);
    pthread_mutex_unlock(&s->mutex);
  }
  return (floor_now() - start) / (double)n * 1e9;
}

static double access_number(long n, int writing) {
  struct shelf *s = shelf_open(0);
  double sum = 0, start = floor_now();
  for (long i = 0; i < n; i++) {
    pthread_mutex_lock(&s->mutex);
    if (writing)
      s->number = (double)i;
    else
      sum += s->number;
    pthread_mutex_unlock(&s->mutex);
  }
  s->number = sum;
  return (floor_now() - start) / (double)n * 1e9;
}

static void report_lock(double pair, void (*work)(void *)) {
  floor_report("lock_methods", pair);
  floor_report("lock_locals", pair);
  floor_report("lock_contended", contended(work));
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "futex";
  long n = floor_amount(10000000);
  if (strcmp(what, "futex") == 0) {
    report_lock(pair_by_futex(n), add_by_futex);
  } else if (strcmp(what, "robust") == 0) {
    report_lock(pair_by_mutex(n), add_by_mutex);
  } else if (strcmp(what, "value") == 0) {
    floor_report("value_read", access_number(n, 0));
    floor_report("value_write", access_number(n, 1));
  } else {
    fprintf(stderr, "usage: lock futex|robust|value\n");
    return 2;
  }
  return 0;
}
