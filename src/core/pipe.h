/*
** Pipe: two ends, and what one sends the other receives. The operations are in multiprocessing.h.
*/
#ifndef MP_PIPE_H
#define MP_PIPE_H

#include "queue.h"

/* What a direction holds before its sender has to wait, as kernel pipes do; a larger message goes
** alone. */
#define MP_PIPE_BYTES 65536u
#define MP_PIPE_MESSAGES 8192u

extern const struct mp_kind mp_pipe_kind;
extern const struct mp_waitable mp_pipe_waitable; /* for a message, or for the end */

#endif
