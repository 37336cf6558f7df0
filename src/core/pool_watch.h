/*
** What the supervisor of a pool knows of its workers. For pool_supervisor.c and pool_limits.c.
*/
#ifndef MP_POOL_WATCH_H
#define MP_POOL_WATCH_H

#include "pool_layout.h"
#include "process.h"

/* private; an item that is being run, when its worker's memory was looked at */
struct measured {
  uint64_t task; /* its id */
  uint32_t worker, item;
  bool large, again; /* over the limit; was so at the look before, too */
};

/* private; what the supervisor knows */
struct watch {
  struct mp_handle *pool;
  struct mp_context *c;
  mp_process **seat;
  mp_deadline *stopped; /* for each seat: since when it is known to detain others, or 0 */
  struct pollfd *fds; /* control and news, then a sentinel a seat */
  uint32_t *condemned; /* tags of workers to kill, room for all seats */
  struct measured *measured, *before; /* at this look and at the one before; the same */
  uint32_t measured_count, before_count;
  uint32_t seats, started;
  uint32_t refusals; /* starts in a row that the system has refused while there was no worker */
  int control;
  int news;            /* tells of children that are stopped; or -1 */
  bool look;           /* at the workers: one may be stopped */
  bool terminating;
  mp_deadline kill_at; /* after SIGTERM */
  mp_deadline measure_at; /* the workers' memory, at the earliest */
  mp_deadline wake_up; /* the next time limit */
};

/* ---- pool_limits.c ---- */

/* Sends a signal to the worker of that tag, or to all (0). */
void mp_watch_signal(const struct watch *w, uint32_t tag, int signal_number);

/* Ends workers that are stopped where others have to wait for them: context->stuck of the
** supervisor, arg is its watch. Takes no mutex. */
void mp_watch_release(void *arg);

/* Sees to workers that are stopped, when there is news of them. */
void mp_watch_stopped(struct watch *w);

/* Marks tasks whose workers have grown too large. */
void mp_watch_memory(struct watch *w);

/* Kills the workers of tasks that were marked, run too long or were cancelled. */
void mp_watch_tasks(struct watch *w);

#endif
