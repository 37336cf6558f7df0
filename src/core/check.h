/*
** The whole-arena check: every block that is in use is owned exactly once, and every count is
** what one counts. For quiet moments: no participant is inside an operation.
*/
#ifndef MP_CHECK_H
#define MP_CHECK_H

#include "message.h"

/* In a kind's check: the object owns this block; this message, with its tickets. NULL, or what
** is wrong (owned twice, not in use). */
const char *mp_walk_block(struct mp_walk *w, mp_ref block);
const char *mp_walk_message(struct mp_walk *w, mp_ref message);
/* The object counts a mention of the object that this ticket names. */
const char *mp_walk_mention(struct mp_walk *w, mp_ticket t);

/* The sum of what participants hold of the object. */
uint64_t mp_walk_held(const struct mp_walk *w, const struct mp_object *o);

/* NULL, or a sentence that says what is wrong. */
const char *mp_check_arena(struct mp_context *c);

#endif
