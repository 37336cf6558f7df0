/*
** Pool: tasks that workers run, results that come back, and a supervisor that keeps the workers
** at strength.
**
** A task is bytes: one job (count = 1) or a chunk of `count` items that one worker runs one after
** the other. Each item is settled by itself: its result is stored with a commit of its own, so that
** a worker's death costs the item it was running and no other; the rest of a chunk goes back to
** the front of the line. Tasks and results go straight between the creator and the workers; the
** supervisor only watches processes.
*/
#ifndef MP_POOL_H
#define MP_POOL_H

#include "context.h"

enum mp_pool_state { MP_POOL_OPEN, MP_POOL_CLOSED, MP_POOL_TERMINATED, MP_POOL_BROKEN };

/* How an item ended. */
enum mp_item_kind {
  MP_ITEM_VALUE,    /* bytes: what the function returned */
  MP_ITEM_ERROR,    /* bytes: what it raised */
  MP_ITEM_LOST,     /* its worker died: pid and wait status */
  MP_ITEM_TIMEOUT,  /* its worker was killed as it ran too long */
  MP_ITEM_CANCELLED, /* its worker was killed, or it was taken out of the line, on request */
  MP_ITEM_MEMORY    /* its worker was killed as it had grown too large */
};

struct mp_pool_options {
  uint32_t workers;            /* at least 1 */
  uint32_t tasks_per_worker;   /* a worker ends after so many; 0: no limit */
  uint64_t memory_per_worker;  /* bytes of resident memory; a worker above it is replaced, and
                               ** killed if it runs a task; 0: no limit */
};

/* One task to submit. */
struct mp_task_options {
  uint32_t count;   /* items; at least 1 */
  uint32_t retries; /* how often an item is run again when its worker died */
  int64_t timeout;  /* ns that one item may run; 0: no limit */
};

extern const struct mp_kind mp_pool_kind;
extern const struct mp_waitable mp_pool_waitable; /* its creator waits for results */
/* mp_releasers' entry for MP_BLOCK_TASK. */
void mp_task_release(struct mp_context *c, mp_w64 *entry, mp_ref block);

/* Makes a pool object; its creator is the caller. No process is started by this. -ENOMEM. */
MP_MUST_USE int mp_pool_new(struct mp_context *c, const struct mp_pool_options *o,
                            struct mp_handle **out);

/* ---- the creator's side ---- */

/* Puts a task in line; *id names it from now on. MP_CLOSED: the pool is not open. -ENOMEM,
** MP_FOREIGN as for messages. Never waits. */
MP_MUST_USE int mp_pool_submit(struct mp_handle *pool, const struct mp_parcel *task,
                               const struct mp_task_options *o, uint64_t *id);

/* A task that is over, or one whose items come out one by one. */
struct mp_pool_result {
  uint64_t id;
  mp_ref task;     /* to give to mp_pool_item and mp_pool_forget */
  uint32_t settled; /* items there are */
};

/* The next task all of whose items are settled, in the order of their endings. MP_EMPTY (deadline
** MP_NOW), MP_TIMEOUT, MP_INTERRUPTED; MP_BROKEN: no task will end any more, see
** mp_pool_state; MP_CLOSED: nor will any, as the pool was terminated. */
MP_MUST_USE int mp_pool_collect(struct mp_handle *pool, mp_deadline until,
                                struct mp_pool_result *out);

/* The same for a creator that needs many: while it sleeps it is woken when so many more are over,
** or none is left to wait for, and not by each. */
MP_MUST_USE int mp_pool_collect_many(struct mp_handle *pool, uint32_t many, mp_deadline until,
                                     struct mp_pool_result *out);

/* Where in a result one reads; zeroed at first. */
struct mp_item_cursor {
  mp_ref area;
  uint32_t at, last; /* where the next item starts, and the one that was read */
  uint32_t given;
};
struct mp_item {
  enum mp_item_kind kind;
  struct mp_parcel parcel; /* VALUE, ERROR: a view into the task */
  int32_t pid, status;     /* LOST and all below: the worker, as waitpid says; or 0 */
};

/* The next item of a collected task; false after the last one. */
bool mp_pool_item(struct mp_handle *pool, const struct mp_pool_result *r,
                  struct mp_item_cursor *at, struct mp_item *out);

/* What a collected task was submitted as: a view into it. */
struct mp_parcel mp_pool_parcel(struct mp_handle *pool, const struct mp_pool_result *r);

/* Frees a collected task. Views into it end. */
void mp_pool_forget(struct mp_handle *pool, const struct mp_pool_result *r);

/* Takes a task out of the line, or has the worker that runs it killed (only if `running`). Its
** open items end as MP_ITEM_CANCELLED. MP_EMPTY: it is over already, or runs and may not be
** killed. */
MP_MUST_USE int mp_pool_cancel(struct mp_handle *pool, uint64_t id, bool running);

/* Takes all tasks out of the line. */
void mp_pool_cancel_waiting(struct mp_handle *pool);

/* Does a worker run it now? */
bool mp_pool_is_running(struct mp_handle *pool, uint64_t id);

/* No more tasks; workers end when the line is empty. Or: end now. Neither waits. */
void mp_pool_close(struct mp_handle *pool);
void mp_pool_terminate(struct mp_handle *pool);
/* For the creator: terminates it, and leaves workers no time for SIGTERM; one that was terminated
** before, too. Never waits. */
void mp_pool_kill(struct mp_handle *pool);
/* The creator is done with the pool: terminates it and gives up the handle. Never waits. */
void mp_pool_leave(struct mp_handle *pool);
/* The creator ends: closes the pool, whose tasks are done still; but if Ctrl-C came since the last
** one was submitted, the supervisor terminates it. Never waits. */
void mp_pool_part(struct mp_handle *pool);
/* The supervisor gives up: no worker can be started, because of `error` (-errno) or, 0, because
** none comes up. */
void mp_pool_break(struct mp_handle *pool, int error);
/* Of a broken pool: that error. */
int mp_pool_refused(const struct mp_handle *pool);

enum mp_pool_state mp_pool_state(const struct mp_handle *pool);

struct mp_pool_stats {
  uint32_t workers, idle, running, waiting;
  uint64_t done, failed, lost, restarted;
};
struct mp_pool_stats mp_pool_stats(struct mp_handle *pool);

/* What the initializer of a worker raised, as a view that lasts as long as the pool; false:
** nothing.
*/
bool mp_pool_initializer_error(struct mp_handle *pool, struct mp_parcel *out);

/* ---- functions: sent once for all tasks ---- */

/* Adds a function (any bytes) to the pool, where workers find it by its number from 1 on. */
MP_MUST_USE int mp_pool_function_add(struct mp_handle *pool, const struct mp_parcel *function,
                                     uint32_t *number);
/* MP_EMPTY: there is none of that number, or no more. */
MP_MUST_USE int mp_pool_function(struct mp_handle *pool, uint32_t number, struct mp_parcel *out);
/* For the creator: no task refers to the function, nor will. */
void mp_pool_function_drop(struct mp_handle *pool, uint32_t number);

/* ---- a worker's side ---- */

/* A task in a worker's hands; private. */
struct mp_work {
  struct mp_handle *pool;
  mp_ref task;
  struct mp_parcel parcel; /* a view; good until mp_work_done */
  uint64_t id;
  uint32_t count, first; /* run the items first .. count-1, counted from 0 */
  bool timed;            /* has a time limit */
  bool notifies;         /* mp_supervisor_notify before it is run */
};

/* Waits for a task and takes it. MP_CLOSED: there is none and will be none: end. MP_TIMEOUT,
** MP_INTERRUPTED. */
MP_MUST_USE int mp_work_take(struct mp_handle *pool, mp_deadline until, struct mp_work *out);

/* Settles the next item. -ENOMEM: nothing has changed, settle it with something smaller. */
MP_MUST_USE int mp_work_settle(struct mp_work *w, enum mp_item_kind kind,
                               const struct mp_parcel *value);

/* All items are settled: the task goes back to the creator. MP_CLOSED: this worker is about to be
** killed for having been late, it is to end and to take no other task. */
MP_MUST_USE int mp_work_done(struct mp_work *w);

/* The worker is up: its initializer is through. Before its first mp_work_take. */
void mp_work_ready(struct mp_handle *pool);

/* The initializer raised this; the worker should end. */
MP_MUST_USE int mp_work_initializer_failed(struct mp_handle *pool, const struct mp_parcel *error);

/* ---- the supervisor (pool_supervisor.c) ---- */

/* private; the creator's grip on its supervisor, and a worker's */
struct mp_supervisor {
  struct mp_process *process; /* NULL in a worker */
  struct mp_handle *pool;
  int control;         /* what wakes the supervisor up */
};

/* Forks the supervisor. In the creator: 0, *worker is 0. In each worker, from then on and for ever
** again when one is replaced: 0, *worker is its number from 1 on; the caller runs the worker's
** loop and ends the process by mp_process_exit. The supervisor itself never returns. -EAGAIN,
** -ENOMEM, -EUSERS, -EMFILE: nothing was started. */
MP_MUST_USE int mp_supervisor_start(struct mp_handle *pool, struct mp_supervisor *out,
                                    uint32_t *worker);

/* Has the supervisor look at the pool again: it was closed or terminated, a task is to be killed,
** a task with a time limit runs. Never waits. */
void mp_supervisor_notify(const struct mp_supervisor *s);

/* From now on the creator's end is mp_pool_part, and waits for the tasks, instead of terminating
** the pool. `s` stays where it is until it is closed. */
void mp_supervisor_finishes(struct mp_supervisor *s);

/* Waits until supervisor and workers have ended. MP_TIMEOUT, MP_INTERRUPTED. */
MP_MUST_USE int mp_supervisor_join(struct mp_supervisor *s, mp_deadline until);

/* Closes the creator's descriptors. The supervisor ends by itself when the pool does. */
void mp_supervisor_close(struct mp_supervisor *s);

#endif
