/*
 * What the C floors share: a clock, the amount of work, shared memory, workers behind a gate.
 *
 * A floor is the least C that does what a case asks for: no time-outs, no crash safety, no
 * encoding. Each prints lines `metric number`, as the programs in Lua and in Python do.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline double floor_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline _Noreturn void floor_fail(const char *what) {
  perror(what);
  exit(1);
}

/* BENCH_SCALE is the part of the work that is asked for: 1, or 0.1 for a quick run. */
static inline long floor_amount(long whole) {
  const char *text = getenv("BENCH_SCALE");
  double scale = text ? strtod(text, NULL) : 1.0;
  long n = (long)((double)whole * scale);
  return n < 1 ? 1 : n;
}

static inline void *floor_share(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    floor_fail("mmap");
  return p;
}

static inline void floor_report(const char *metric, double value) {
  printf("%s %.6g\n", metric, value);
}

static inline void floor_sleep(_Atomic uint32_t *word, uint32_t seen) {
  syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static inline void floor_wake(_Atomic uint32_t *word, int n) {
  syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* The gate: workers say that they are ready and sleep; the clock starts when it opens. */
struct floor_gate {
  _Atomic uint32_t ready, open;
};

static inline void floor_arrive(struct floor_gate *g) {
  atomic_fetch_add(&g->ready, 1);
  floor_wake(&g->ready, 1);
  while (atomic_load(&g->open) == 0)
    floor_sleep(&g->open, 0);
}

static inline double floor_open(struct floor_gate *g, uint32_t workers) {
  uint32_t seen;
  while ((seen = atomic_load(&g->ready)) < workers)
    floor_sleep(&g->ready, seen);
  double start = floor_now();
  atomic_store(&g->open, 1);
  floor_wake(&g->open, (int)workers);
  return start;
}

/* Starts a worker, which calls work(shared) and ends. */
static inline void floor_start(void (*work)(void *), void *shared) {
  pid_t pid = fork();
  if (pid < 0)
    floor_fail("fork");
  if (pid == 0) {
    work(shared);
    _exit(0);
  }
}

static inline void floor_join(int workers) {
  for (int i = 0; i < workers; i++) {
    int status;
    if (wait(&status) < 0 || status != 0)
      floor_fail("a worker failed");
  }
}

#endif
