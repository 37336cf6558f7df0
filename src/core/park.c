/*
** Park: the two words that waiters sleep on (their contract is in park.h).
**
** Lock: none. Invariant: a waiter sleeps on `seq` only after it has set MP_PARK_SLEEPERS and
** looked again, so whoever changes something after that look sees the bit. A waker that finds
** it counts seq up and wakes; it takes the bit away only if nobody was woken and nobody has
** announced himself since it looked. So the bit is there while another waker is at work, and two
** wakers wake two (spec/model/park.pml). Death: a dead waiter leaves a bit that costs one useless
** wake; a waker that dies between its change and its wake costs the sleepers one capped nap.
** Nobody repairs anything.
*/
#include "park.h"

#include <errno.h>

#include "clock.h"
#include "os.h"

#define SPIN_SHORT 4000             /* ns; about one futex wake */
#define SPIN_LONG 30000             /* what a sleeper takes to wake and answer, and some more */
#define PAUSE_FIRST 16              /* sleeps between one long spin that failed and the next */
#define PAUSE_LAST 4096

/* A spin was in vain and we slept: would a longer one have been enough? Two that answer each other
** must not both sleep for good because each is woken later than the other spins. But where a long
** spin fails, the other one may wait for our very processor: then it is left alone for a while. */
static void spin_learn(struct mp_context *c) {
  int64_t waited = mp_clock_now() - c->spun_at;
  c->spun_at = 0;
  if (c->spins_long) {
    c->spins_long = false;
    if (c->spin_backoff == 0) c->spin_backoff = PAUSE_FIRST;
    c->spin_pause = c->spin_backoff;
    if (c->spin_backoff < PAUSE_LAST) c->spin_backoff *= 2;
  } else if (c->spin_pause > 0) {
    c->spin_pause--;
  } else if (waited <= SPIN_LONG) {
    c->spins_long = true;
  }
}

/* Begins a spin: when is it to end? */
static int64_t spin_end(struct mp_context *c) {
  c->spun_at = mp_clock_now();
  return c->spun_at + (c->spins_long ? SPIN_LONG : SPIN_SHORT);
}

static bool spin_won(struct mp_context *c) {
  c->spun_at = 0;
  if (c->spins_long) c->spin_backoff = PAUSE_FIRST;
  return true;
}

static bool park_interrupted(struct mp_context *c) {
  return c->interrupted != NULL && c->interrupted(c->interrupted_arg) != 0;
}

int mp_park_wait(struct mp_context *c, struct mp_park *p, uint32_t seq, mp_deadline until,
                 unsigned *nap) {
  MP_ASSERT(!c->locked);
  int64_t now = mp_clock_now();
  if (until <= now) return MP_TIMEOUT;
  int64_t wake_up = now + mp_clock_nap((*nap)++);
  if (until < wake_up) wake_up = until;
  w64_put(&c->slot->waits, mp_offset_of(c, p));
  int r = mp_os_futex_wait(&p->seq.v_, seq, wake_up);
  w64_put(&c->slot->waits, 0);
  if (c->spun_at != 0) spin_learn(c);
  if (r == -EINTR || r == MP_TIMEOUT) {
    if (park_interrupted(c)) return MP_INTERRUPTED;
    if (c->tend != NULL) c->tend(c); /* after short naps too: some callers know no others */
  }
  return 0;
}

void mp_park_wake_slow(struct mp_context *c, struct mp_park *p, uint32_t n) {
  uint32_t seen = w32_get_acquire(&p->waiting), before = seen;
  if (seen & MP_PARK_SLEEPERS) {
    (void)w32_add(&p->seq, 1); /* whoever was announced in `seen` sleeps already, or will not */
    if (mp_os_futex_wake(&p->seq.v_, n > INT32_MAX ? INT32_MAX : (int)n) == 0)
      (void)w32_cas(&p->waiting, &before, seen & ~MP_PARK_SLEEPERS);
  }
  if ((seen & MP_PARK_BELLS) && c->ring != NULL) c->ring(c, p);
}

bool mp_park_spin32(struct mp_context *c, const mp_w32 *word, uint32_t seen) {
  if (!c->spins) return false;
  for (int64_t end = spin_end(c); mp_clock_now() < end;) {
    for (int i = 0; i < 16; i++) {
      if (w32_get_acquire(word) != seen) return spin_won(c);
      mp_cpu_relax();
    }
  }
  return false;
}

bool mp_park_spin64(struct mp_context *c, const mp_w64 *word, uint64_t seen) {
  if (!c->spins) return false;
  for (int64_t end = spin_end(c); mp_clock_now() < end;) {
    for (int i = 0; i < 16; i++) {
      if (w64_get_acquire(word) != seen) return spin_won(c);
      mp_cpu_relax();
    }
  }
  return false;
}
