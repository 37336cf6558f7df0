/*
** Shared words. A word of the arena that more than one process can see is one of these
** types, and only the functions below write it, so that a plain store does not compile and
** "every store to shared memory is a crash point" can be checked: in test builds each write
** calls mp_crash_point first, where a simulated death may strike.
**
** w*_get is relaxed, w*_get_acquire orders what follows. w*_put is a release store: on
** x86-64 that is a plain mov, and it keeps program order for those who take over from the
** dead and for readers without a lock. Read-modify-writes are sequentially consistent.
*/
#ifndef MP_WORD_H
#define MP_WORD_H

#include "base.h"

typedef struct mp_w32 {
  uint32_t v_;
} mp_w32;
typedef struct mp_w64 {
  uint64_t v_;
} MP_ALIGNED(8) mp_w64;

#ifdef MP_TEST
/* Called before each store to shared memory; may not return (spec/core/crash.h). NULL: off.
** One for each thread, so that only the participant under test can die. */
extern _Thread_local void (*mp_crash_hook)(const char *file, int line);
#define MP_CRASH_POINT() \
  ((void)(mp_crash_hook != NULL ? mp_crash_hook(__FILE__, __LINE__) : (void)0))
#else
#define MP_CRASH_POINT() ((void)0)
#endif

/* The function that a crash point is in is told by the file and line of the caller only in a
** debugger; a plain counter identifies it in a replay. */

static inline uint32_t w32_get(const mp_w32 *w) {
  return __atomic_load_n(&w->v_, __ATOMIC_RELAXED);
}
static inline uint32_t w32_get_acquire(const mp_w32 *w) {
  return __atomic_load_n(&w->v_, __ATOMIC_ACQUIRE);
}
static inline void w32_put(mp_w32 *w, uint32_t v) {
  MP_CRASH_POINT();
  __atomic_store_n(&w->v_, v, __ATOMIC_RELEASE);
}
static inline bool w32_cas(mp_w32 *w, uint32_t *expected, uint32_t v) {
  MP_CRASH_POINT();
  return __atomic_compare_exchange_n(&w->v_, expected, v, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}
static inline uint32_t w32_swap(mp_w32 *w, uint32_t v) {
  MP_CRASH_POINT();
  return __atomic_exchange_n(&w->v_, v, __ATOMIC_SEQ_CST);
}
static inline uint32_t w32_add(mp_w32 *w, uint32_t n) { /* gives the new value */
  MP_CRASH_POINT();
  return __atomic_add_fetch(&w->v_, n, __ATOMIC_SEQ_CST);
}

static inline uint64_t w64_get(const mp_w64 *w) {
  return __atomic_load_n(&w->v_, __ATOMIC_RELAXED);
}
static inline uint64_t w64_get_acquire(const mp_w64 *w) {
  return __atomic_load_n(&w->v_, __ATOMIC_ACQUIRE);
}
static inline void w64_put(mp_w64 *w, uint64_t v) {
  MP_CRASH_POINT();
  __atomic_store_n(&w->v_, v, __ATOMIC_RELEASE);
}
static inline bool w64_cas(mp_w64 *w, uint64_t *expected, uint64_t v) {
  MP_CRASH_POINT();
  return __atomic_compare_exchange_n(&w->v_, expected, v, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}
static inline uint64_t w64_swap(mp_w64 *w, uint64_t v) {
  MP_CRASH_POINT();
  return __atomic_exchange_n(&w->v_, v, __ATOMIC_SEQ_CST);
}
static inline uint64_t w64_add(mp_w64 *w, uint64_t n) { /* gives the new value */
  MP_CRASH_POINT();
  return __atomic_add_fetch(&w->v_, n, __ATOMIC_SEQ_CST);
}

/* Stores on both sides of this stay on their sides, as far as one who looks after our death
** can tell. No instruction: a kill loses no store that has retired. */
static inline void mp_compiler_fence(void) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static inline void mp_full_fence(void) {
/* ThreadSanitizer knows no fences: a locked instruction on a word of nobody's. */
#if defined(__SANITIZE_THREAD__)
  static uint32_t nobodys;
  (void)__atomic_add_fetch(&nobodys, 1, __ATOMIC_SEQ_CST);
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}
/* A full fence right after a read-modify-write, which is one itself on some processors. */
static inline void mp_fence_after_swap(void) {
#if defined(__x86_64__)
  mp_compiler_fence();
#else
  mp_full_fence();
#endif
}
static inline void mp_cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ __volatile__("yield" ::: "memory");
#endif
}

#endif
