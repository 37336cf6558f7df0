/*
** multiprocessing: processes, locks, queues, pipes, shared values and pools over one
** crash-proof shared memory. Link with -lmultiprocessing -pthread.
**
** ---- conventions ---------------------------------------------------------------------
** A function that can fail returns an int:
**     0   done
**   > 0   a condition listed with that function (enum mp_condition); the caller handles it
**   < 0   a failure, -errno; clean up and pass it on (mp_strerror says it)
** Out parameters come last and are written only when the result is 0.
** X_new and X_open give a handle, X_close ends it, takes NULL and returns NULL.
** Deadlines are absolute, in nanoseconds of CLOCK_MONOTONIC: no retry can stretch one.
** A context is one participant of a session. It must be used by one thread at a time; a
** process may have several. A child made by fork() takes part with its parent's handles.
*/
#ifndef MULTIPROCESSING_H
#define MULTIPROCESSING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MP_API __attribute__((visibility("default")))
#define MP_MUST_USE __attribute__((warn_unused_result))
#else
#define MP_API
#define MP_MUST_USE
#endif

/* What a caller is expected to handle. Each function lists those that it returns. */
enum mp_condition {
  MP_OK = 0,
  MP_TIMEOUT = 1,  /* the deadline passed; nothing has changed */
  MP_EMPTY,        /* nothing to take, and the deadline was MP_NOW */
  MP_FULL,         /* no room, and the deadline was MP_NOW */
  MP_CLOSED,       /* the object was shut down or its other end is gone */
  MP_ABANDONED,    /* done, but the last holder died while it held the lock */
  MP_INTERRUPTED,  /* a signal arrived, the interruption hook asks to return; nothing has changed */
  MP_BROKEN,       /* a barrier that was aborted or lost a party */
  MP_NOT_OWNER,    /* a release by somebody who does not hold it */
  MP_LIMIT,        /* a count would pass its bound */
  MP_TOO_BIG,      /* a message larger than the bound */
  MP_FOREIGN,      /* not of this session, another layout, or another pid namespace */
  MP_LOST          /* the process that had it died */
};

/* A sentence for any result, a condition or a -errno. A constant, or strerror's. */
MP_API const char *mp_strerror(int result);

/* An absolute time. mp_in(seconds) makes one; nan is refused by the caller's own check. */
typedef int64_t mp_deadline;
#define MP_NOW ((mp_deadline)0)
#define MP_FOREVER INT64_MAX

/* The time `seconds` from now. <= 0 gives MP_NOW, more than 200 years MP_FOREVER. */
MP_API mp_deadline mp_in(double seconds);

typedef struct mp_context mp_context;

/* The name of a shared object, as it travels in a message. */
typedef struct mp_ticket {
  uint64_t word[2];
} mp_ticket;

#ifdef __cplusplus
}
#endif
#endif
