/* A lock of one word that no crash is thought of in: 0 free, 1 held, 2 held and somebody sleeps. */
#ifndef BENCH_FUTEX_LOCK_H
#define BENCH_FUTEX_LOCK_H

#include "floor.h"

static inline void futex_lock_acquire(_Atomic uint32_t *word) {
  uint32_t was = 0;
  if (atomic_compare_exchange_strong(word, &was, 1))
    return;
  if (was != 2)
    was = atomic_exchange(word, 2);
  while (was != 0) {
    floor_sleep(word, 2);
    was = atomic_exchange(word, 2);
  }
}

static inline void futex_lock_release(_Atomic uint32_t *word) {
  if (atomic_exchange(word, 0) == 2)
    floor_wake(word, 1);
}

#endif
