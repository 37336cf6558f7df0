/*
** Mutex: one word that names its holder (the contract of its bits is in mutex.h).
**
** Lock: it is the lock. Invariant: whenever the word is 0 or names a live participant with no
** log in hand, the structure behind it is whole. Death: the holder's tag stays in the word; a
** waiter that finds the holder gone becomes its cleaner, undoes its log, and frees the word
** (mp_mutex_take_over). Dying in there leaves a log that can be undone again, or a word that is
** free already. A holder that died after its unlock and before its wake costs a capped nap.
** Waiting is spin, then futex; who slept re-takes the word with the waiters' bit set, as others
** may sleep still (glibc bug 20973's lesson; Drepper, "Futexes Are Tricky", mutex 3).
*/
#include "mutex.h"

#include "clock.h"
#include "os.h"

#define SPINS 100

/* True when the word was free and now is ours, perhaps with `flag`. */
static bool mutex_try(struct mp_context *c, mp_mutex *m, uint32_t flag) {
  uint32_t seen = w32_get(&m->word);
  return (seen & MP_TAG_MASK) == 0 && w32_cas(&m->word, &seen, c->tag | flag | seen);
}

static bool mutex_spin(struct mp_context *c, mp_mutex *m) {
  for (int i = 0; c->spins && i < SPINS; i++) {
    if (mutex_try(c, m, 0)) return true;
    mp_cpu_relax();
  }
  return false;
}

void mp_mutex_wake(struct mp_context *c, mp_mutex *m) {
  (void)c;
  (void)mp_os_futex_wake(&m->word.v_, 1);
}

/* Undoes the dead participant's change and releases its mutex. We are its cleaner. */
static void mutex_repair(struct mp_context *c, uint32_t index) {
  struct mp_slot *dead = mp_slot_at(&c->arena, index);
  uint32_t dead_tag = mp_slot_tag(&c->arena, index);
  mp_tx_undo(c, dead);
  uint64_t want = w64_get(&dead->want);
  if (want == 0) return;
  mp_mutex *m = (mp_mutex *)(void *)(c->arena.base + want);
  uint32_t seen = w32_get(&m->word);
  while ((seen & MP_TAG_MASK) == dead_tag) {
    if (w32_cas(&m->word, &seen, 0)) break;
  }
  /* one may sleep whom the dead one, as the last to be woken, would have passed it on to */
  mp_mutex_wake(c, m);
  w64_put(&dead->want, 0);
}

bool mp_mutex_take_over(struct mp_context *c, uint32_t index) {
  uint32_t cleaner = w32_get_acquire(&mp_slot_at(&c->arena, index)->cleaner);
  uint32_t of = mp_tag_index(cleaner);
  if (cleaner != 0 && cleaner != c->tag && mp_slot_gone(c, cleaner) &&
      mp_slot_tag(&c->arena, of) == cleaner && mp_mutex_take_over(c, of))
    mp_slot_leave(c, of); /* its change is undone: now its work can be gone on with */
  if (!mp_slot_take_over(c, index)) return false;
  mutex_repair(c, index);
  return true;
}

/* Looks after a holder that may be dead. */
static void mutex_rescue(struct mp_context *c, const mp_mutex *m) {
  uint32_t tag = w32_get_acquire(&m->word) & MP_TAG_MASK;
  if (tag == 0 || !mp_slot_gone(c, tag)) return;
  if (mp_mutex_take_over(c, mp_tag_index(tag))) mp_slot_leave(c, mp_tag_index(tag));
}

void mp_mutex_lock_slow(struct mp_context *c, mp_mutex *m) {
  if (mutex_spin(c, m)) return;
  for (unsigned nap = 0;;) {
    uint32_t seen = w32_get(&m->word);
    if ((seen & MP_TAG_MASK) == 0) {
      if (mutex_try(c, m, MP_MUTEX_WAITERS)) return;
      continue;
    }
    if (!(seen & MP_MUTEX_WAITERS) && !w32_cas(&m->word, &seen, seen | MP_MUTEX_WAITERS)) continue;
    int r = mp_os_futex_wait(&m->word.v_, seen | MP_MUTEX_WAITERS,
                             mp_clock_now() + mp_clock_nap(nap++));
    if (mutex_try(c, m, MP_MUTEX_WAITERS)) return;
    if (r == 0) continue;
    mutex_rescue(c, m); /* after a signal too: they may come faster than the cap */
    if (c->stuck != NULL) c->stuck(c->stuck_arg);
  }
}

/* Does the participant of that slot live in that process? */
static bool slot_in_process(const struct mp_context *c, uint32_t index, int32_t pid) {
  const struct mp_slot *s = mp_slot_at(&c->arena, index);
  return mp_slot_state_of(w64_get_acquire(&s->who)) == MP_SLOT_LIVE && mp_slot_pid(s) == pid;
}

static bool slot_holds_mutex(const struct mp_context *c, uint32_t index) {
  uint64_t want = w64_get_acquire(&mp_slot_at(&c->arena, index)->want);
  if (want == 0) return false;
  const mp_mutex *m = (const mp_mutex *)(const void *)(c->arena.base + want);
  return (w32_get_acquire(&m->word) & MP_TAG_MASK) == mp_slot_tag(&c->arena, index);
}

bool mp_mutex_detains(struct mp_context *c, int32_t pid) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++) {
    uint32_t cleaner = w32_get_acquire(&mp_slot_at(&c->arena, i)->cleaner);
    if (slot_in_process(c, i, pid) && slot_holds_mutex(c, i)) return true;
    if (cleaner == 0 || mp_slot_tag(&c->arena, mp_tag_index(cleaner)) != cleaner) continue;
    if (slot_in_process(c, mp_tag_index(cleaner), pid)) return true;
  }
  return false;
}

const char *mp_mutex_check(struct mp_context *c, const mp_mutex *m) {
  uint32_t tag = w32_get(&m->word) & MP_TAG_MASK;
  if (tag == 0) return NULL;
  if (mp_tag_index(tag) >= MP_SLOTS) return "mutex: its holder is no participant";
  return mp_slot_gone(c, tag) ? "mutex: its holder is dead" : NULL;
}
