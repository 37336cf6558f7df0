/*
** Bell: a descriptor that tells when a shared object may be ready, for poll and event loops.
**
** A participant hangs a bell on an object of a kind that can be waited for (mp_waitables). The
** descriptor is readable as long as the object is ready, as this participant last saw it; whoever
** makes the object ready rings. Each look at an object that is not ready silences its bell, and
** operations that take something from an object with a bell look again afterwards. A ring may be
** late or for nothing: another participant may have been faster. So whoever is woken looks first.
*/
#ifndef MP_BELL_H
#define MP_BELL_H

#include "object.h"

struct mp_bell; /* private */

/* What waiting for a kind of object means. */
struct mp_waitable {
  /* Is it ready now? */
  bool (*ready)(struct mp_context *c, struct mp_object *o);
  /* Where those sleep who are woken when it becomes ready; NULL: this one never does. */
  struct mp_park *(*park)(struct mp_context *c, struct mp_object *o);
};

/* By kind, NULL for those that cannot be waited for; in kinds.c. */
extern const struct mp_waitable *const mp_waitables[MP_KINDS];

/* Hangs a bell on the object, if there is none yet, and gives the bell's own descriptor: for a wait
** that looks after each ring and twice a second besides. -EINVAL: nothing to wait for; -ENOMEM,
** -EMFILE and what else the system says. */
MP_MUST_USE int mp_bell_hang(struct mp_handle *h, int *fd);

/* mp_fileno, in multiprocessing.h, is the descriptor for others' loops, with a timer beside the
** bell. mp_ready, also there, is mp_bell_look: is the object ready? And sees to it that the bell,
** if there is one, says so. False for kinds that cannot be waited for. */
bool mp_bell_look(struct mp_handle *h);

/* After an operation that took something: the bell follows. */
static inline void mp_bell_follow(struct mp_handle *h) {
  if (mp_unlikely(h->bell != NULL)) (void)mp_bell_look(h);
}

/* Takes the bell away, with its descriptors. NULL is fine; gives NULL. */
struct mp_bell *mp_bell_close(struct mp_handle *h);

/* Only what is private to this process: after a fork, in the child. */
struct mp_bell *mp_bell_forget(struct mp_handle *h);

/* mp_context.ring: rings all bells of a park. */
void mp_bell_ring(struct mp_context *c, struct mp_park *p);

/* Takes the bells of a dead participant away, or of one that leaves. Resumable. */
void mp_bells_clean(struct mp_context *c, struct mp_slot *dead);

/* For checkers: the next node of a participant's, and whether it hangs where it says. */
mp_ref mp_bell_next(const struct mp_context *c, mp_ref node);
const char *mp_bell_check(const struct mp_context *c, mp_ref node);

#endif
