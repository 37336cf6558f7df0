/*
** Queue: many put, many get; what the core's other parts may know of it. Its operations are in
** multiprocessing.h.
*/
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include "bell.h"
#include "message.h"

extern const struct mp_kind mp_queue_kind;
extern const struct mp_waitable mp_queue_waitable; /* for a message, or for its shutdown */

/* Proves a queue's invariants. NULL, or what is wrong. For quiet moments. */
const char *mp_queue_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w);

/* For pipes: mp_queue_get of a message that has no more than `max` bytes; MP_TOO_BIG: it has more,
** and stays. And: waits until a message or the end can be taken: 0, MP_TIMEOUT, MP_INTERRUPTED. */
MP_MUST_USE int mp_queue_get_within(mp_queue *q, size_t max, mp_deadline until, mp_letter *out);
MP_MUST_USE int mp_queue_poll(mp_queue *q, mp_deadline until);

#endif
