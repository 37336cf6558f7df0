/*
** Context: a participant as a whole, from its first word to its clean-up by others; and what
** happens to it when its process forks.
*/
#ifndef MP_CONTEXT_H
#define MP_CONTEXT_H

#include "check.h"

struct mp_context_options {
  size_t memory; /* limit in bytes of the session's memory; 0: half of the machine's or its group's.
                 ** Only for the first context of a session. */
  size_t space;  /* address space of the session; 0: min(64 GiB, 4 x RAM) */
};

/* Opens a participant of this process's session, which the first one makes. -ENOMEM; -EUSERS: the
** process table is full. */
MP_MUST_USE int mp_context_open(const struct mp_context_options *o, struct mp_context **out);

/* Ends the participant: what it holds is given up as if it had died. NULL is fine; gives NULL. */
struct mp_context *mp_context_close(struct mp_context *c);

/* Is the context usable here? Not in a child of a raw clone, or of a thread's foreign fork. */
static inline bool mp_context_valid(const struct mp_context *c) {
  return *c->guard == c->guard_value;
}

/* fork() with the context as a participant in both processes: the child has all handles that the
** parent has, and holds nothing that the parent holds. pid is 0 in the child. `child` is the tag
** of the child's slot, the same in both. -EAGAIN, -ENOMEM, -EUSERS: no child, nothing changed.
** tracked: the slot outlives the child until mp_context_collect. */
MP_MUST_USE int mp_context_fork(struct mp_context *c, bool tracked, int *pid, uint32_t *child);

/* Cleans up after the participant `tag` if it is dead. True when nothing of it is left. */
bool mp_context_bury(struct mp_context *c, uint32_t tag);

/* Buries a tracked child and frees its slot. *ended: how it ended (mp_slot_ended_word), if the
** caller knows, or 0; afterwards what the child itself said, or 0. */
void mp_context_collect(struct mp_context *c, uint32_t tag, uint32_t *ended);

/* The last act of a process: stores the status for whoever collects it, gives up all that the
** participant has, and leaves the slot as a dead one's. The context is of no use afterwards; its
** private memory stays. */
void mp_context_end(struct mp_context *c, int status);

/* Calls visit for each context of this process that is valid here. */
void mp_context_each(void (*visit)(struct mp_context *c));

/* Looks at every participant and cleans up after the dead; not more often than every 100 ms in
** the whole session, unless `now`. */
void mp_context_tend(struct mp_context *c, bool now);

#endif
