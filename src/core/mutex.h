/*
** Mutex: the internal lock of every shared structure. It says who holds it, and survives them.
**
** The word: 0 free; otherwise bits 0..29 the holder's tag (proctab.h), bit 31 set when
** somebody may sleep for it (may be set with nobody there, never clear with a sleeper who
** would not look again within the cap). A participant holds at most one, and names it in
** slot.want before it tries, so that a cleaner finds the one that a dead participant held.
** mp_mutex_lock cannot fail: a dead holder's change is undone and the mutex taken over; a
** stopped holder is waited for, unless somebody ends it (context->stuck; pool_supervisor.c).
** Sections are short: no system call, no Lua, no allocation.
*/
#ifndef MP_MUTEX_H
#define MP_MUTEX_H

#include "tx.h"

#define MP_MUTEX_WAITERS UINT32_C(0x80000000)

typedef struct mp_mutex { /* shared */
  mp_w32 word;
} mp_mutex;

void mp_mutex_lock_slow(struct mp_context *c, mp_mutex *m);
void mp_mutex_wake(struct mp_context *c, mp_mutex *m);

static inline void mp_mutex_lock(struct mp_context *c, mp_mutex *m) {
  MP_ASSERT(!c->locked);
  w64_put(&c->slot->want, mp_offset_of(c, m));
  mp_compiler_fence();
  uint32_t expected = 0;
  if (mp_unlikely(!w32_cas(&m->word, &expected, c->tag))) mp_mutex_lock_slow(c, m);
  c->locked = true;
}

static inline void mp_mutex_unlock(struct mp_context *c, mp_mutex *m) {
  MP_ASSERT(c->locked && c->log_count == 0);
  c->locked = false;
  if (mp_unlikely(w32_swap(&m->word, 0) & MP_MUTEX_WAITERS)) mp_mutex_wake(c, m);
  w64_put(&c->slot->want, 0);
}

static inline bool mp_mutex_mine(const struct mp_context *c, const mp_mutex *m) {
  return (w32_get(&m->word) & MP_TAG_MASK) == c->tag;
}

/* First part of every clean-up: makes the caller the cleaner of slot `index`, if its participant
** is dead, undoes that one's change and releases its mutex; the same first for a dead cleaner
** that was at it before, as words of the dead may be read only when no change to them is left
** half done. True: go on cleaning, or mp_slot_leave. Safe while waiting for a mutex. */
bool mp_mutex_take_over(struct mp_context *c, uint32_t index);

/* Does a participant of that process stand where others may have to wait for it: does it hold an
** internal mutex, or clean up after a dead one? To be asked about one that is stopped. */
bool mp_mutex_detains(struct mp_context *c, int32_t pid);

/* For checkers: NULL if the mutex is free or held by a live participant, else what is wrong. */
const char *mp_mutex_check(struct mp_context *c, const mp_mutex *m);

#endif
