/*
** Park: sleep on a shared structure until somebody says that it changed, a deadline passes,
** or a signal asks for attention.
**
**   waiter:  seq = mp_park_ticket(p); look; if it must wait: mp_park_wait(c, p, seq, until);
**            look again
**   waker:   change; unlock; mp_park_wake(c, p, n)
**
** The words: `seq` counts wake-ups; a waiter sleeps only while it has the value it took its
** ticket at. `waiting` is a hint, never an exact count, so that a killed waiter can leave
** nothing wrong: a waiter sets it before it looks for the last time, a waker wakes, and takes it
** away if nobody was woken. It may be set with nobody there (one useless system call); it is
** never clear with a sleeper that no later wake would see, and for that counts the announcements,
** so that a late one cannot be taken away with the earlier ones. Each sleep is
** capped (20 ms, doubling to 500 ms): whoever died between its change and its wake costs that
** much at most.
*/
#ifndef MP_PARK_H
#define MP_PARK_H

#include "proctab.h"

#define MP_PARK_SLEEPERS 1u /* waiting: somebody may be asleep */
#define MP_PARK_BELLS 2u    /* waiting: some bell may have to be rung (bell.h) */
#define MP_PARK_ANNOUNCED 4u /* waiting: the bits from here on count announcements */

static inline uint32_t mp_park_ticket(const struct mp_park *p) {
  return w32_get_acquire(&p->seq);
}

/* Says that we are about to sleep; a full fence. Look once more after it, then wait. */
static inline void mp_park_announce(struct mp_park *p) {
  uint32_t seen = w32_get(&p->waiting);
  while (!w32_cas(&p->waiting, &seen, (seen + MP_PARK_ANNOUNCED) | MP_PARK_SLEEPERS)) {}
  mp_full_fence();
}

/* Sleeps, if seq is still what the ticket says, once and no longer than the cap. `*nap` is the
** waiter's count of naps, 0 at first. 0: look again. MP_TIMEOUT: the deadline has passed, look
** a last time. MP_INTERRUPTED: a signal came and the context's hook asks to return. After a
** capped nap the dead are looked for (c->tend), so the caller must hold no internal mutex. */
MP_MUST_USE int mp_park_wait(struct mp_context *c, struct mp_park *p, uint32_t seq,
                             mp_deadline until, unsigned *nap);

/* May anybody be asleep, or have a bell here? For wakers, after a full fence. */
static inline bool mp_park_awaited(const struct mp_park *p) {
  return (w32_get(&p->waiting) & (MP_PARK_SLEEPERS | MP_PARK_BELLS)) != 0;
}

/* Wakes up to n waiters, if any may be there. Call after unlocking. */
void mp_park_wake_slow(struct mp_context *c, struct mp_park *p, uint32_t n);
static inline void mp_park_wake(struct mp_context *c, struct mp_park *p, uint32_t n) {
  mp_full_fence(); /* the change before the look at `waiting`; pairs with mp_park_announce */
  if (mp_unlikely(mp_park_awaited(p))) mp_park_wake_slow(c, p, n);
}

/* Reads `word` again and again for a few microseconds, longer where that was found to help: true as
** soon as it is not `seen`. Not on one processor. Before a first mp_park_wait, which learns from
** what became of it. */
bool mp_park_spin32(struct mp_context *c, const mp_w32 *word, uint32_t seen);
bool mp_park_spin64(struct mp_context *c, const mp_w64 *word, uint64_t seen);

#endif
