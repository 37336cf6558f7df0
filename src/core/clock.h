/* clock.h -- deadlines: absolute nanoseconds of the monotonic clock, so that no retry can stretch
** one. mp_in, which makes a deadline of a caller's seconds, is in multiprocessing.h.
*/
#ifndef MP_CLOCK_H
#define MP_CLOCK_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The present, > 0. Not affected by changes of the wall clock. */
int64_t mp_clock_now(void);

/* The deadline ns from now; MP_NOW for ns <= 0; MP_FOREVER if it is past the end of time. */
mp_deadline mp_clock_after(int64_t ns);

/* Nanoseconds until the deadline: 0 if it has passed, INT64_MAX for MP_FOREVER. */
int64_t mp_clock_left(mp_deadline until);

/* How long a sleeper's nth nap lasts at most, in ns, before it looks whether whom it waits for has
** died: 20 ms, doubling to 500 ms. n counts from 0. */
int64_t mp_clock_nap(unsigned n);

/* The earlier of the deadline and ns from now: how long to sleep before looking again. */
mp_deadline mp_clock_cap(mp_deadline until, int64_t ns);

#ifdef __cplusplus
}
#endif

#endif
