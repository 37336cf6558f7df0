/*
** Lock and RLock: one word that says who holds it.
**
** Structure: `word` is 0 when free, else the holder's tag; WAITERS is set beside a tag when
** somebody may sleep in `park`, ABANDONED stands alone in the word of a free lock whose last
** holder died. The holder's handle entry keeps `held`: 1, or the depth of an RLock.
** Lock: none; each change is one compare-and-swap of `word`. Only giving up for the dead takes
** object.lock, so that `died` tells of the same death as the word.
** Invariant: a participant whose tag is in the word has held > 0. It sets held before it tries,
** so held may be > 0 without the tag: before the swap, after it was refused, while it sleeps, or
** when another process released its Lock. The word alone decides.
** Death: of the holder: the cleaner, or a waiter that finds the holder gone, puts ABANDONED in the
** word's place and wakes one. Of a sleeper, or of one that was woken and took nothing: held tells
** the cleaner to wake another. Of a releaser between the swap and the wake: a capped nap.
*/
#include <errno.h>

#include "os.h"
#include "sync.h"

#define LOCK_WAITERS UINT32_C(0x80000000)
#define LOCK_ABANDONED UINT32_C(0x40000000)
#define SPINS 60

/* in `died`: pid in bits 0..21, DIED_SET; in the upper half mp_slot.ended, 0 when unknown */
#define DIED_PID UINT64_C(0x3fffff)
#define DIED_SET (UINT64_C(1) << 22)

struct lock { /* shared */
  struct mp_object object;
  mp_w32 word;         /* atomic */
  struct mp_park park; /* its own rules */
  mp_w64 died;         /* object.lock, read by anybody: the last holder that died */
};

static struct lock *lock_of(const struct mp_handle *h) {
  return (struct lock *)(void *)h->object;
}

static uint32_t lock_owner(const struct lock *l) {
  return w32_get(&l->word) & MP_TAG_MASK;
}

/* ---- birth ---- */

static int lock_new(struct mp_context *c, enum mp_object_kind kind, struct mp_handle **out) {
  int r = mp_object_new(c, kind, sizeof(struct lock), out);
  if (r == 0) mp_object_publish(*out, NULL, 0);
  return r;
}

int mp_lock_new(struct mp_context *c, mp_lock **out) {
  return lock_new(c, MP_KIND_LOCK, out);
}

int mp_rlock_new(struct mp_context *c, mp_lock **out) {
  return lock_new(c, MP_KIND_RLOCK, out);
}

int mp_sync_open(struct mp_context *c, mp_ticket t, enum mp_object_kind kind,
                 struct mp_handle **out) {
  struct mp_handle *h;
  int r = mp_handle_open(c, t, &h);
  if (r != 0) return r;
  if (!mp_sync_is(h, kind)) {
    mp_handle_close(h);
    return MP_FOREIGN;
  }
  *out = h;
  return 0;
}

int mp_lock_open(struct mp_context *c, mp_ticket t, mp_lock **out) {
  return mp_sync_open(c, t, MP_KIND_LOCK, out);
}

int mp_rlock_open(struct mp_context *c, mp_ticket t, mp_lock **out) {
  return mp_sync_open(c, t, MP_KIND_RLOCK, out);
}

void mp_lock_settle(mp_lock *h) {
  if (lock_owner(lock_of(h)) != h->context->tag) w32_put(&h->entry->held, 0);
}

mp_lock *mp_lock_close(mp_lock *h) {
  if (h != NULL) mp_lock_settle(h);
  return mp_handle_close(h);
}

/* ---- the dead ---- */

static uint64_t lock_obituary(const struct mp_slot *dead) {
  uint64_t pid = w64_get(&dead->who) & DIED_PID;
  return pid | DIED_SET | (uint64_t)w32_get(&dead->ended) << 32;
}

/* Frees the lock of a holder that is gone, unless it is free or somebody else's by now. */
static void lock_abandon(struct mp_context *c, struct lock *l, uint32_t dead) {
  mp_mutex_lock(c, &l->object.lock);
  uint32_t seen = w32_get(&l->word);
  if ((seen & MP_TAG_MASK) == dead) {
    w64_put(&l->died, lock_obituary(mp_slot_at(&c->arena, mp_tag_index(dead))));
    while ((seen & MP_TAG_MASK) == dead && !w32_cas(&l->word, &seen, LOCK_ABANDONED)) {}
  }
  mp_mutex_unlock(c, &l->object.lock);
  mp_park_wake(c, &l->park, 1);
}

static void lock_owner_died(struct mp_context *c, struct mp_object *o,
                            struct mp_handle_entry *entry, const struct mp_slot *dead) {
  uint32_t index = (uint32_t)(dead - mp_slot_at(&c->arena, 0));
  lock_abandon(c, (struct lock *)(void *)o, mp_slot_tag(&c->arena, index));
  w32_put(&entry->held, 0);
}

/* Looks whether the holder that `seen` names is gone, and sees to it. */
static bool lock_rescue(struct mp_context *c, struct lock *l, uint32_t seen) {
  uint32_t tag = seen & MP_TAG_MASK;
  if (tag == 0 || !mp_slot_gone(c, tag)) return false;
  lock_abandon(c, l, tag);
  return true;
}

/* ---- acquire ---- */

/* Takes a free lock, with `flag`: 0, MP_ABANDONED, or -1 when it is not free. */
static int lock_try(struct mp_context *c, struct lock *l, uint32_t flag) {
  uint32_t seen = w32_get(&l->word);
  while ((seen & MP_TAG_MASK) == 0)
    if (w32_cas(&l->word, &seen, c->tag | flag)) return seen & LOCK_ABANDONED ? MP_ABANDONED : 0;
  return -1;
}

static int lock_spin(struct mp_context *c, struct lock *l) {
  for (int i = 0; c->spins && i < SPINS; i++) {
    if ((w32_get(&l->word) & MP_TAG_MASK) == 0) {
      int r = lock_try(c, l, 0);
      if (r >= 0) return r;
    }
    mp_cpu_relax();
  }
  return -1;
}

/* One nap, unless the lock is free: 0 look again, MP_TIMEOUT, MP_INTERRUPTED. */
static int lock_nap(struct mp_context *c, struct lock *l, mp_deadline until, unsigned *nap) {
  uint32_t seq = mp_park_ticket(&l->park);
  mp_park_announce(&l->park);
  uint32_t seen = w32_get(&l->word);
  if ((seen & MP_TAG_MASK) == 0) return 0;
  if (!(seen & LOCK_WAITERS) && !w32_cas(&l->word, &seen, seen | LOCK_WAITERS)) return 0;
  int r = mp_park_wait(c, &l->park, seq, until, nap);
  bool unwoken = mp_park_ticket(&l->park) == seq;
  if (unwoken && lock_rescue(c, l, w32_get(&l->word))) return 0;
  return r;
}

/* We slept, perhaps were woken, and go without it: the wake, if it was one, is for another. */
static void lock_pass_on(struct mp_context *c, struct lock *l) {
  uint32_t seen = w32_get(&l->word);
  while ((seen & MP_TAG_MASK) != 0)
    if (w32_cas(&l->word, &seen, seen | LOCK_WAITERS)) return;
  mp_park_wake(c, &l->park, 1);
}

/* The lock was taken by somebody else: waits for it. */
static int lock_wait(struct mp_context *c, struct lock *l, mp_deadline until) {
  int r = lock_spin(c, l);
  if (r >= 0) return r;
  for (unsigned nap = 0;;) {
    int woken = lock_nap(c, l, until, &nap);
    r = lock_try(c, l, nap > 0 ? LOCK_WAITERS : 0); /* others may sleep still */
    if (r >= 0) return r;
    if (woken == 0) continue;
    lock_pass_on(c, l);
    return woken;
  }
}

static int lock_acquire_slow(mp_lock *h, mp_deadline until) {
  struct mp_context *c = h->context;
  struct lock *l = lock_of(h);
  int r = lock_try(c, l, 0);
  if (r < 0 && until == MP_NOW) {
    if (lock_rescue(c, l, w32_get(&l->word))) r = lock_try(c, l, 0);
    if (r < 0) r = MP_TIMEOUT;
  }
  if (r < 0) r = lock_wait(c, l, until);
  if (r != 0 && r != MP_ABANDONED && lock_owner(l) != c->tag) w32_put(&h->entry->held, 0);
  return r;
}

int mp_lock_acquire(mp_lock *h, mp_deadline until) {
  struct lock *l = lock_of(h);
  uint32_t nobody = 0;
  w32_put(&h->entry->held, 1); /* before the swap: a cleaner must find what we may hold */
  if (mp_likely(w32_cas(&l->word, &nobody, h->context->tag))) return 0;
  return lock_acquire_slow(h, until);
}

int mp_rlock_acquire(mp_lock *h, mp_deadline until) {
  uint32_t depth = w32_get(&h->entry->held);
  if (lock_owner(lock_of(h)) != h->context->tag) return mp_lock_acquire(h, until);
  if (depth == UINT32_MAX) return MP_LIMIT;
  w32_put(&h->entry->held, depth + 1);
  return 0;
}

/* ---- release ---- */

/* Frees the lock whoever holds it; `as` is 0 or LOCK_ABANDONED. False: it was free. */
static bool lock_free(struct mp_context *c, struct lock *l, uint32_t as) {
  uint32_t seen = w32_get(&l->word);
  do {
    if ((seen & MP_TAG_MASK) == 0) return false;
  } while (!w32_cas(&l->word, &seen, as));
  if (mp_unlikely(seen & LOCK_WAITERS)) mp_park_wake_slow(c, &l->park, 1);
  return true;
}

int mp_lock_release(mp_lock *h) {
  if (!lock_free(h->context, lock_of(h), 0)) return MP_LIMIT;
  w32_put(&h->entry->held, 0);
  return 0;
}

void mp_lock_return(mp_lock *h) {
  (void)lock_free(h->context, lock_of(h), LOCK_ABANDONED);
  w32_put(&h->entry->held, 0);
}

int mp_rlock_release(mp_lock *h) {
  if (lock_owner(lock_of(h)) != h->context->tag) return MP_NOT_OWNER;
  uint32_t depth = w32_get(&h->entry->held);
  if (depth > 1) {
    w32_put(&h->entry->held, depth - 1);
    return 0;
  }
  return mp_lock_release(h);
}

int mp_lock_suspend(mp_lock *h, uint32_t *depth) {
  if (!mp_lock_mine(h)) return MP_NOT_OWNER;
  *depth = w32_get(&h->entry->held);
  return mp_lock_release(h);
}

int mp_lock_resume(mp_lock *h, uint32_t depth) {
  int r;
  do {
    r = mp_lock_acquire(h, MP_FOREVER);
  } while (r != 0 && r != MP_ABANDONED);
  w32_put(&h->entry->held, depth);
  return r;
}

/* ---- questions ---- */

int mp_lock_mine(const mp_lock *h) {
  return lock_owner(lock_of(h)) == h->context->tag;
}

int mp_lock_locked(const mp_lock *h) {
  return lock_owner(lock_of(h)) != 0;
}

int mp_lock_abandoned(const mp_lock *h, int *pid, int *exitcode) {
  uint64_t died = w64_get_acquire(&lock_of(h)->died);
  if (!(died & DIED_SET)) return MP_EMPTY;
  *pid = (int)(died & DIED_PID);
  *exitcode = died >> 32 != 0 ? mp_slot_ended_status((uint32_t)(died >> 32)) : MP_EXIT_UNKNOWN;
  return 0;
}

uint32_t mp_lock_holding(struct mp_context *c, const struct mp_object *o, uint32_t held,
                         uint32_t tag) {
  (void)c;
  return lock_owner((const struct lock *)(const void *)o) == tag ? held : 0;
}

/* ---- the checker ---- */

static const char *lock_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  const struct lock *l = (const struct lock *)(const void *)o;
  uint32_t seen = w32_get(&l->word), tag = seen & MP_TAG_MASK;
  (void)w;
  if (tag == 0) return seen & LOCK_WAITERS ? "lock: free, and yet with a waiters' bit" : NULL;
  if (seen & LOCK_ABANDONED) return "lock: held and abandoned at once";
  if (mp_tag_index(tag) >= MP_SLOTS) return "lock: its holder is no participant";
  if (mp_slot_gone(c, tag)) return "lock: its holder is dead";
  const struct mp_handle_entry *entry = mp_object_entry(c, o, tag);
  if (entry == NULL) return "lock: its holder has no handle";
  return w32_get(&entry->held) == 0 ? "lock: its holder does not know that it holds it" : NULL;
}

const struct mp_kind mp_lock_kind = {"Lock", lock_owner_died, NULL, lock_check};
const struct mp_kind mp_rlock_kind = {"RLock", lock_owner_died, NULL, lock_check};
