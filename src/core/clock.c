/* clock.c -- deadlines.
**
** A deadline is a plain number and holds nothing: no lock, nothing shared, nothing to repair. Its
** main invariant is that arithmetic saturates: whatever a caller asks for, the result is one of
** MP_NOW, a time between now and the end of time, or MP_FOREVER, and never wraps into the past.
** Deadlines do not travel between processes, as each pid or time namespace may have its own clock.
*/
#include "clock.h"
#include "os.h"

#define NS_PER_S 1e9
#define NAP_FIRST INT64_C(20000000) /* 20 ms */
#define NAP_LAST INT64_C(500000000) /* 500 ms */
#define LONGEST_S (200 * 365.25 * 86400)   /* 200 years: well below INT64_MAX nanoseconds */

int64_t mp_clock_now(void) {
  return mp_os_monotonic();
}

mp_deadline mp_clock_after(int64_t ns) {
  if (ns <= 0) return MP_NOW;
  int64_t now = mp_clock_now();
  return ns > MP_FOREVER - now ? MP_FOREVER : now + ns;
}

/* nan fails both comparisons that would let it wait, and becomes MP_NOW: callers refuse it, but
** one that forgot must not sleep for ever. */
mp_deadline mp_in(double seconds) {
  if (!(seconds > 0)) return MP_NOW;
  if (seconds > LONGEST_S) return MP_FOREVER;
  double ns = seconds * NS_PER_S;
  return mp_clock_after(ns < 1 ? 1 : (int64_t)ns);   /* > 0 stays in the future */
}

int64_t mp_clock_left(mp_deadline until) {
  if (until == MP_FOREVER) return INT64_MAX;
  if (until <= MP_NOW) return 0;
  int64_t left = until - mp_clock_now();
  return left > 0 ? left : 0;
}

int64_t mp_clock_nap(unsigned n) {
  return n < 5 ? NAP_FIRST << n : NAP_LAST;
}

mp_deadline mp_clock_cap(mp_deadline until, int64_t ns) {
  mp_deadline look = mp_clock_after(ns);
  return look < until ? look : until;
}
