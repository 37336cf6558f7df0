/*
** What every file of the core includes: results, assertions, references into the arena.
*/
#ifndef MP_BASE_H
#define MP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../multiprocessing.h"

/* MP_ASSERT states what must be true whatever users and dying processes do: a failure is a
** bug of ours. It is kept in test builds. What a caller did wrong is answered by -EINVAL. */
#ifdef MP_TEST
void mp_assert_failed(const char *what, const char *file, int line) __attribute__((noreturn));
#define MP_ASSERT(x) ((x) ? (void)0 : mp_assert_failed(#x, __FILE__, __LINE__))
#else
#define MP_ASSERT(x) ((void)0)
#endif

/* A reference into the arena: the number of a 16-byte granule, 0 for none. Nothing in the
** arena is a pointer, as each process maps it where it likes. */
typedef uint32_t mp_ref;
#define MP_NONE ((mp_ref)0)
#define MP_GRANULE 16u

#define MP_CACHE_LINE 64
#define MP_ALIGNED(n) __attribute__((aligned(n)))
#define MP_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define mp_likely(x) __builtin_expect(!!(x), 1)
#define mp_unlikely(x) __builtin_expect(!!(x), 0)

static inline uint64_t mp_round_up(uint64_t n, uint64_t unit) {
  return (n + unit - 1) / unit * unit;
}

#endif
