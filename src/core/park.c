/*
** Park: the two words that waiters sleep on (their contract is in park.h).
**
** Lock: none. Invariant: a waiter sleeps on `seq` only after it has set MP_PARK_SLEEPERS and
** looked again, so whoever changes something after that look sees the bit. A waker that finds
** it takes the bit away, counts seq up, wakes, and puts it back when somebody was woken, as
** more may sleep. Death: a dead waiter leaves a bit that costs one useless wake; a waker that
** dies between its change and its wake, or between taking the bit and putting it back, costs
** the sleepers one capped nap. Nobody repairs anything.
*/
#include "park.h"

#include <errno.h>

#include "clock.h"
#include "os.h"

#define NAP_FIRST INT64_C(20000000) /* 20 ms */
#define NAP_LAST INT64_C(500000000) /* 500 ms */
#define SPIN_NS 4000                /* about one futex wake: longer, and sleeping is cheaper */

static int64_t nap_length(unsigned nap) {
  return nap < 5 ? NAP_FIRST << nap : NAP_LAST;
}

static bool park_interrupted(struct mp_context *c) {
  return c->interrupted != NULL && c->interrupted(c->interrupted_arg) != 0;
}

int mp_park_wait(struct mp_context *c, struct mp_park *p, uint32_t seq, mp_deadline until,
                 unsigned *nap) {
  MP_ASSERT(!c->locked);
  int64_t now = mp_clock_now();
  if (until <= now) return MP_TIMEOUT;
  int64_t wake_up = now + nap_length((*nap)++);
  if (until < wake_up) wake_up = until;
  w64_put(&c->slot->waits, mp_offset_of(c, p));
  int r = mp_os_futex_wait(&p->seq.v_, seq, wake_up);
  w64_put(&c->slot->waits, 0);
  if (r == -EINTR || r == MP_TIMEOUT) {
    if (park_interrupted(c)) return MP_INTERRUPTED;
    if (r == MP_TIMEOUT && wake_up != until && c->tend != NULL) c->tend(c);
  }
  return 0;
}

void mp_park_wake_slow(struct mp_context *c, struct mp_park *p, uint32_t n) {
  uint32_t seen = w32_get(&p->waiting);
  while (!w32_cas(&p->waiting, &seen, seen & ~MP_PARK_SLEEPERS)) {}
  (void)w32_add(&p->seq, 1);
  if (seen & MP_PARK_SLEEPERS) {
    int woken = mp_os_futex_wake(&p->seq.v_, n > INT32_MAX ? INT32_MAX : (int)n);
    if (woken > 0) mp_park_announce(p);
  }
  if ((seen & MP_PARK_BELLS) && c->ring != NULL) c->ring(c, p);
}

bool mp_park_spin32(const struct mp_context *c, const mp_w32 *word, uint32_t seen) {
  if (!c->spins) return false;
  for (int64_t end = mp_clock_now() + SPIN_NS; mp_clock_now() < end;) {
    for (int i = 0; i < 16; i++) {
      if (w32_get_acquire(word) != seen) return true;
      mp_cpu_relax();
    }
  }
  return false;
}

bool mp_park_spin64(const struct mp_context *c, const mp_w64 *word, uint64_t seen) {
  if (!c->spins) return false;
  for (int64_t end = mp_clock_now() + SPIN_NS; mp_clock_now() < end;) {
    for (int i = 0; i < 16; i++) {
      if (w64_get_acquire(word) != seen) return true;
      mp_cpu_relax();
    }
  }
  return false;
}
