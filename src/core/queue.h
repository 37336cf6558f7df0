/*
** Queue: many put, many get; what the core's other parts may know of it. Its operations are in
** multiprocessing.h.
*/
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include "message.h"

extern const struct mp_kind mp_queue_kind;

/* Proves a queue's invariants. NULL, or what is wrong. For quiet moments. */
const char *mp_queue_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w);

#endif
