/*
** Synchronisation: what the core's own files ask of locks, semaphores, events, conditions and
** barriers beyond the public header.
*/
#ifndef MP_SYNC_H
#define MP_SYNC_H

#include "check.h"
#include "park.h"

extern const struct mp_kind mp_lock_kind;
extern const struct mp_kind mp_rlock_kind;
extern const struct mp_kind mp_semaphore_kind;
extern const struct mp_kind mp_event_kind;
extern const struct mp_waitable mp_event_waitable; /* for being set */
extern const struct mp_kind mp_condition_kind;
extern const struct mp_kind mp_barrier_kind;

mp_holding mp_lock_holding, mp_semaphore_holding;
mp_holding mp_place_holding; /* of what one only waits at: nothing */

/* A handle for the object that a ticket names, if it is of this kind. MP_FOREIGN: it is not, or
** is not of this session. -ENOMEM. */
MP_MUST_USE int mp_sync_open(struct mp_context *c, mp_ticket t, enum mp_object_kind kind,
                             struct mp_handle **out);

static inline bool mp_sync_is(const struct mp_handle *h, enum mp_object_kind kind) {
  return w32_get(&h->object->kind) == (uint32_t)kind;
}

/* Before a handle is closed by other means than mp_X_close: forgets what others have given back in
** this participant's place, so that it is not taken for held. */
void mp_lock_settle(mp_lock *h);
void mp_semaphore_settle(mp_semaphore *h);

/* For a condition over the lock (either kind): lets it go whatever its depth, and gives that
** depth; MP_NOT_OWNER when the caller does not hold it. And takes it again, at that depth,
** however long it takes and whatever interrupts: 0 or MP_ABANDONED. */
MP_MUST_USE int mp_lock_suspend(mp_lock *h, uint32_t *depth);
MP_MUST_USE int mp_lock_resume(mp_lock *h, uint32_t depth);

/* Gives a lock back that mp_lock_acquire gave as MP_ABANDONED, as abandoned as it was, so that the
** next to acquire it is told in our place. */
void mp_lock_return(mp_lock *h);

/* The last part of a wait: leaves the line. True: it was notified. */
bool mp_condition_stand_down(mp_condition *h);

/* The second part of a barrier's wait, for a party that has arrived. */
MP_MUST_USE int mp_barrier_go_on(mp_barrier *h, mp_deadline until, unsigned *number);

/* A barrier whose action, as its makers encode it, travels with it (NULL: none). MP_FOREIGN: a
** ticket of the action names nothing. And that action: MP_EMPTY when there is none. */
MP_MUST_USE int mp_barrier_new_with(struct mp_context *c, uint32_t parties,
                                    const struct mp_parcel *action, mp_barrier **out);
MP_MUST_USE int mp_barrier_action(const mp_barrier *h, struct mp_parcel *out);

#endif
