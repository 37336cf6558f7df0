/*
** multiprocessing: processes, locks, queues, pipes, shared values and pools over one
** crash-proof shared memory. Link with -lmultiprocessing -pthread.
**
** ---- conventions ---------------------------------------------------------------------
** A function that can fail returns an int:
**     0   done
**   > 0   a condition listed with that function (enum mp_outcome); the caller handles it
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
enum mp_outcome {
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

/* ---- taking part ------------------------------------------------------------------------ */

typedef struct mp_options {
  size_t memory; /* bytes that the session may use; 0: half of what the machine, or its control
                 ** group, has. Only the first context of a session can say. */
} mp_options;

/* Opens a participant of this process's session, which the first one makes. Children made by fork()
** take part too. -ENOMEM, -EMFILE; -EUSERS: 4094 take part already. */
MP_API MP_MUST_USE int mp_open(const mp_options *o, mp_context **out);

/* Ends the participant. What it holds is given up as if it had died: close handles first. */
MP_API mp_context *mp_close(mp_context *c);

/* Proves that all of the session's shared memory is as it must be: NULL, or what is wrong. Only
** while no other participant is in the middle of a call. */
MP_API MP_MUST_USE const char *mp_check(mp_context *c);

/* ---- processes ----------------------------------------------------------------------- */

/* A process that this one has started, or the one that has started this one. A handle is used
** with the context that it was made with, and closed before that. */
typedef struct mp_process mp_process;

typedef struct mp_process_options {
  const char *name; /* what mp_dump calls it; NULL: nothing */
  int daemon;       /* terminated when this process ends, killed when this process is killed */
  int copy;         /* a bare fork: the child keeps its standard input, signal handlers and
                    ** mask, and nobody waits for it; mp_process_reap may know its end */
  void (*interrupt)(int); /* the child's handler of SIGINT from its first moment; NULL: it kills */
  void (*born)(void *arg); /* the child calls it before any signal can come; NULL: nothing */
  void *arg;
} mp_process_options;

/* Forks, after flushing the C library's streams. In the child *out is NULL, it takes part in the
** session with all handles, and ends by mp_process_exit. -EAGAIN, -ENOMEM, -EUSERS, -EMFILE: there
** is no child. MP_LOST only in the child: the parent died at once; it takes part in nothing. */
MP_API MP_MUST_USE int mp_process_start(mp_context *c, const mp_process_options *o,
                                        mp_process **out);

/* Ends the process that the context lives in: as mp_process_finish, then the streams are flushed
** and what the context holds is given up. No handler of atexit runs. */
MP_API void mp_process_exit(mp_context *c, int status) __attribute__((noreturn));

/* Waits for the end. MP_TIMEOUT: it runs still. MP_INTERRUPTED. -ECHILD: a handle of another
** process. Afterwards it is reaped. */
MP_API MP_MUST_USE int mp_process_join(mp_process *p, mp_deadline until);

/* Its exit code, or minus the signal that killed it. MP_TIMEOUT: it runs still. MP_LOST: it has
** ended, but the host has reaped it and it left no word. -ECHILD: as above. */
MP_API MP_MUST_USE int mp_process_exit_code(mp_process *p, int *code);

/* Sends a signal, to that process and no other; 0 also when it has ended already. */
MP_API MP_MUST_USE int mp_process_signal(mp_process *p, int signal_number);

/* A descriptor that becomes readable when the process ends; it belongs to the handle. -EMFILE. */
MP_API MP_MUST_USE int mp_process_sentinel(mp_process *p, int *fd);

MP_API int mp_process_id(const mp_process *p);

/* Forgets the handle, not the process. */
MP_API mp_process *mp_process_close(mp_process *p);

/* Reaps those children of the context that have ended; the number of those that have not, without
** the bare forks. */
MP_API int mp_process_reap(mp_context *c);

/* The process that has started this one by mp_process_start. -ESRCH: nobody has. */
MP_API MP_MUST_USE int mp_process_parent(mp_context *c, mp_process **out);

/* Terminates the context's daemons (kills them after two seconds) and waits for its other children.
** Not interruptible: Ctrl-C ends the process. */
MP_API void mp_process_finish(mp_context *c);

/* Asks for mp_process_finish at the end of this process, by atexit. -ENOMEM. */
MP_API MP_MUST_USE int mp_process_finish_at_exit(mp_context *c);

/* The context's children are nobody's from now on: to be called before it is closed. */
MP_API void mp_process_abandon(mp_context *c);

/* ---- shared objects -------------------------------------------------------------------- */

/* The name of a shared object, as it travels in a message. */
typedef struct mp_ticket {
  uint64_t word[2];
} mp_ticket;

/* Names the object of a handle, for as long as somebody has it. To be sent in a parcel. */
struct mp_handle;
MP_API mp_ticket mp_ticket_of(const struct mp_handle *object);

/* What is to be sent: `bytes`, then `tail` (may be empty: a long part that stays where it is until
** it is copied once), and the objects that they mention. Borrowed for the call. */
typedef struct mp_parcel {
  const void *bytes;
  size_t length;
  const void *tail;
  size_t tail_length;
  const mp_ticket *tickets;
  size_t ticket_count;
} mp_parcel;

/* A message that was taken. `parcel` (without tail) is good until mp_letter_free, which says that
** it has been read; the rest is private. A participant can have four at once that came with more
** than MP_LETTER_SMALL bytes or with tickets. */
#define MP_LETTER_SMALL 56
typedef struct mp_letter {
  mp_parcel parcel;
  uint32_t block;
  unsigned char small[MP_LETTER_SMALL];
} mp_letter;

/* ---- values and arrays -----------------------------------------------------------------
** Numbers of one C type in shared memory. Codes: c and B (unsigned char), b, h, H, i, I, l, L, q,
** Q as in Python's array module, f and d (float, double), u (a Unicode character, 32 bits). L and
** Q hold what fits an int64_t. Positions count from 0. Every function here may be called by any
** number of processes at once; each element is always the old or the new one.
*/
struct mp_handle;
typedef struct mp_handle mp_array;

/* One element's value: `f` for the codes f and d, else `i`. */
typedef union mp_number {
  int64_t i;
  double f;
} mp_number;

typedef struct mp_number_type {
  unsigned size;      /* bytes of an element */
  int real;           /* a floating-point type */
  int64_t low, high;  /* what an integer may be */
} mp_number_type;

#define MP_ARRAY_SCALAR 1u /* a value: one element */
#define MP_ARRAY_LOCKED 2u /* in a shape: a lock goes with it */

typedef struct mp_array_options {
  char code;
  unsigned flags;         /* MP_ARRAY_SCALAR */
  size_t count;           /* elements */
  const void *elements;   /* `count` of them as C has them; NULL: zeros */
  struct mp_handle *lock; /* a lock that goes with the array, or NULL */
} mp_array_options;

typedef struct mp_array_shape {
  char code;
  unsigned flags;
  size_t count;
} mp_array_shape;

/* -EINVAL: there is no such code. */
MP_API int mp_array_type(char code, mp_number_type *out);

/* One element from and to the bytes that mp_array_read and mp_array_write move. -EINVAL: no such
** code; -ERANGE: the type cannot hold n. */
MP_API int mp_number_pack(char code, mp_number n, void *out);
MP_API int mp_number_unpack(char code, const void *in, mp_number *out);

/* -EINVAL: no such code; -ENOMEM. */
MP_API MP_MUST_USE int mp_array_new(mp_context *c, const mp_array_options *o, mp_array **out);
MP_API mp_array *mp_array_close(mp_array *a);
MP_API mp_array_shape mp_array_shape_of(const mp_array *a);

/* A handle, to be closed, for the lock that goes with the array. No function here takes it: one who
** wants to keep others out of several calls does. MP_EMPTY: there is none. -ENOMEM. */
MP_API MP_MUST_USE int mp_array_lock(mp_array *a, struct mp_handle **out);

/* -EINVAL: no such position; -ERANGE: the type cannot hold the new value; nothing has changed. */
MP_API MP_MUST_USE int mp_array_get(mp_array *a, size_t i, mp_number *out);
MP_API MP_MUST_USE int mp_array_set(mp_array *a, size_t i, mp_number n);
/* Adds n at one stroke; `sum` is the new value. */
MP_API MP_MUST_USE int mp_array_add(mp_array *a, size_t i, mp_number n, mp_number *sum);
MP_API MP_MUST_USE int mp_array_exchange(mp_array *a, size_t i, mp_number n, mp_number *was);
/* Puts n where `expected` is found; *done says whether it was. */
MP_API MP_MUST_USE int mp_array_compare_exchange(mp_array *a, size_t i, mp_number expected,
                                                 mp_number n, int *done);
/* n elements from `first` on; -EINVAL: they are not all there. A writer that is killed leaves the
** first ones new and the rest old. */
MP_API MP_MUST_USE int mp_array_read(mp_array *a, size_t first, size_t n, void *out);
MP_API MP_MUST_USE int mp_array_write(mp_array *a, size_t first, size_t n, const void *in);

/* ---- locks ---------------------------------------------------------------------------
** A Lock, which any process may release, and an RLock, which its holder may take again and
** nobody else may release; the functions without a name of their own serve both. A process
** that ends in any way while it holds one gives it up: the next to acquire it is told so. A
** process that waits for one, or was just woken for it, and dies, is not waited for.
*/
typedef struct mp_handle mp_lock;

/* Makes a free one. -ENOMEM. */
MP_API MP_MUST_USE int mp_lock_new(mp_context *c, mp_lock **out);
MP_API MP_MUST_USE int mp_rlock_new(mp_context *c, mp_lock **out);

/* The one that a ticket names. MP_FOREIGN: it names none of this session. -ENOMEM. */
MP_API MP_MUST_USE int mp_lock_open(mp_context *c, mp_ticket t, mp_lock **out);
MP_API MP_MUST_USE int mp_rlock_open(mp_context *c, mp_ticket t, mp_lock **out);
MP_API mp_lock *mp_lock_close(mp_lock *l);

/* Waits for it and takes it. 0; MP_ABANDONED: taken, but the last holder died with it, so what it
** protects may be half changed; MP_TIMEOUT, MP_INTERRUPTED: not taken; MP_LIMIT: an RLock that is
** held four billion times deep. */
MP_API MP_MUST_USE int mp_lock_acquire(mp_lock *l, mp_deadline until);
MP_API MP_MUST_USE int mp_rlock_acquire(mp_lock *l, mp_deadline until);

/* Gives it back, and wakes one that waits. A Lock: MP_LIMIT when nobody holds it. An RLock:
** MP_NOT_OWNER when the caller does not hold it. */
MP_API MP_MUST_USE int mp_lock_release(mp_lock *l);
MP_API MP_MUST_USE int mp_rlock_release(mp_lock *l);

/* Does the caller hold it? Does anybody? The answer to the second may be old when it comes. */
MP_API int mp_lock_mine(const mp_lock *l);
MP_API int mp_lock_locked(const mp_lock *l);

/* The last holder that died with it: its pid, and its exit code (minus the signal that killed it)
** or MP_EXIT_UNKNOWN. MP_EMPTY: none ever did. */
#define MP_EXIT_UNKNOWN INT32_MIN
MP_API MP_MUST_USE int mp_lock_abandoned(const mp_lock *l, int *pid, int *exitcode);

/* ---- semaphores ----------------------------------------------------------------------
** A number of units that are there for the taking. Any process may give one, also one that
** took none. What a process took of a plain semaphore and did not give back before it died is
** gone. A bounded semaphore, and one with undo, keeps account of who took how many: what a dead
** process had comes back, and a unit that is given by a process that has none is taken off the
** account of the one that has had some for the longest time.
*/
typedef struct mp_handle mp_semaphore;

#define MP_SEMAPHORE_MAX 0x7fffffffu /* units that can be there */
#define MP_SEMAPHORE_BOUNDED 1u      /* never more units than at first */
#define MP_SEMAPHORE_UNDO 2u         /* units of the dead come back */

typedef struct mp_semaphore_options {
  unsigned value; /* at first */
  unsigned flags; /* MP_SEMAPHORE_... */
} mp_semaphore_options;

/* -EINVAL: more than MP_SEMAPHORE_MAX, or unknown flags; -ENOMEM. */
MP_API MP_MUST_USE int mp_semaphore_new(mp_context *c, const mp_semaphore_options *o,
                                        mp_semaphore **out);
MP_API MP_MUST_USE int mp_semaphore_open(mp_context *c, mp_ticket t, mp_semaphore **out);
MP_API mp_semaphore *mp_semaphore_close(mp_semaphore *s);

/* Waits for a unit and takes it. MP_TIMEOUT, MP_INTERRUPTED; -ENOMEM (with an account alone):
** there is no room to write it down. */
MP_API MP_MUST_USE int mp_semaphore_acquire(mp_semaphore *s, mp_deadline until);

/* Gives one, and wakes one that waits. MP_LIMIT: there would be more than the bound. */
MP_API MP_MUST_USE int mp_semaphore_release(mp_semaphore *s);

/* How many are there now. */
MP_API unsigned mp_semaphore_value(mp_semaphore *s);
MP_API unsigned mp_semaphore_flags(const mp_semaphore *s);

/* ---- events --------------------------------------------------------------------------
** A flag to wait for. A setter that dies has set it or not; a waiter that dies leaves nothing.
*/
typedef struct mp_handle mp_event;

/* Makes one that is clear. -ENOMEM. */
MP_API MP_MUST_USE int mp_event_new(mp_context *c, mp_event **out);
MP_API MP_MUST_USE int mp_event_open(mp_context *c, mp_ticket t, mp_event **out);
MP_API mp_event *mp_event_close(mp_event *e);

MP_API int mp_event_is_set(const mp_event *e);
MP_API void mp_event_set(mp_event *e); /* and wakes all that wait */
MP_API void mp_event_clear(mp_event *e);

/* Waits until the event is set, or was set since mp_event_moment told `since`, even if it is clear
** again. MP_TIMEOUT; MP_INTERRUPTED: call again with the same `since`. */
MP_API uint64_t mp_event_moment(const mp_event *e);
MP_API MP_MUST_USE int mp_event_wait(mp_event *e, uint64_t since, mp_deadline until);

/* ---- queues --------------------------------------------------------------------------
** First in, first out; any number of processes put and get. A message is whole or not there. What
** one process has put, it and all others see at once, in that order. A process that is killed in
** the middle of put or get harms nobody: its message is in the queue or is not; a message that it
** had taken goes with it. A joinable queue counts the messages that are not done with yet.
*/
typedef struct mp_handle mp_queue;

enum mp_queue_flavour { MP_QUEUE_PLAIN, MP_QUEUE_JOINABLE, MP_QUEUE_SIMPLE, MP_QUEUE_PIPE };

typedef struct mp_queue_options {
  uint64_t max_items; /* messages that it may hold; 0: no bound */
  uint64_t max_bytes; /* bytes of messages that it may hold; 0: no bound */
  unsigned flavour;   /* enum mp_queue_flavour; a simple one is a plain one by another name; one of
                      ** a pipe takes a message of any length while it is empty */
} mp_queue_options;

typedef struct mp_queue_state {
  uint64_t size;       /* messages in it */
  uint64_t max_items;  /* 0: no bound */
  uint64_t max_bytes;  /* 0: no bound */
  uint64_t unfinished; /* put, and neither done nor lost: joinable queues only */
  unsigned flavour;
  int closed;          /* it was shut down */
} mp_queue_state;

/* Makes an empty one. -ENOMEM; -EINVAL: no such flavour. */
MP_API MP_MUST_USE int mp_queue_new(mp_context *c, const mp_queue_options *o, mp_queue **out);

/* The one that a ticket names. MP_FOREIGN: it names none of this session. -ENOMEM. */
MP_API MP_MUST_USE int mp_queue_open(mp_context *c, mp_ticket t, mp_queue **out);
MP_API mp_queue *mp_queue_close(mp_queue *q);

/* Puts one message. MP_FULL: no room, and until is MP_NOW; MP_TIMEOUT; MP_INTERRUPTED; MP_CLOSED:
** it was shut down; MP_TOO_BIG: more bytes than the queue may hold; MP_FOREIGN: a ticket names
** nothing; -ENOMEM. Unless 0, nothing was put. */
MP_API MP_MUST_USE int mp_queue_put(mp_queue *q, const mp_parcel *p, mp_deadline until);

/* Puts n messages in steps, each of them atomic: as many as there is room for, up to 32, of which
** up to four are larger than MP_LETTER_SMALL. *done tells, whatever the result, how many went in;
** results as for mp_queue_put, of the first that did not. */
MP_API MP_MUST_USE int mp_queue_put_many(mp_queue *q, const mp_parcel *p, size_t n,
                                         mp_deadline until, size_t *done);

/* Takes one message. MP_EMPTY: there is none, and until is MP_NOW; MP_TIMEOUT; MP_INTERRUPTED;
** MP_CLOSED: it was shut down and is empty; MP_LIMIT: four messages are being read already. */
MP_API MP_MUST_USE int mp_queue_get(mp_queue *q, mp_deadline until, mp_letter *out);

/* Waits for one message, then takes up to n in one atomic step: up to 32, of which up to four are
** larger than MP_LETTER_SMALL. */
MP_API MP_MUST_USE int mp_queue_get_many(mp_queue *q, size_t n, mp_deadline until, mp_letter *out,
                                         size_t *count);

/* The message has been read. Free each letter once. */
MP_API void mp_letter_free(mp_context *c, mp_letter *l);

/* From now on nobody can put, nor get once it is empty; with `immediate` it is emptied, and what
** was in it counts as done. Those who wait are told. */
MP_API void mp_queue_shutdown(mp_queue *q, int immediate);

/* Says that a message taken earlier is done with. MP_LIMIT: more often than messages were put. */
MP_API MP_MUST_USE int mp_queue_task_done(mp_queue *q);

/* Waits until all messages that were put are done with or lost. *lost counts those whose taker
** died before task_done, since the queue was made: MP_LOST, and the new count, when it is not what
** the caller knew. MP_TIMEOUT, MP_INTERRUPTED. */
MP_API MP_MUST_USE int mp_queue_join(mp_queue *q, mp_deadline until, uint64_t *lost);

/* How it is at the moment; may be old when it comes. */
MP_API void mp_queue_look(const mp_queue *q, mp_queue_state *out);

/* ---- pipes ---------------------------------------------------------------------------
** Two connected ends: what is sent into one is received from the other, message by message. A
** direction holds 64 KiB or 8192 messages; then senders wait; a larger message goes alone. An end
** is open as long as any process has it, or it stands in a message that can still be received. A
** process that is killed has closed its ends.
*/
typedef struct mp_handle mp_connection;

/* Makes a pipe, ends[0] and ends[1]. Not duplex: the first one receives, the second one sends.
** -ENOMEM. */
MP_API MP_MUST_USE int mp_pipe_new(mp_context *c, int duplex, mp_connection **ends);
MP_API mp_connection *mp_connection_close(mp_connection *e);

/* Which way it goes. */
MP_API int mp_connection_readable(const mp_connection *e);
MP_API int mp_connection_writable(const mp_connection *e);

/* Sends one message. MP_CLOSED: the other end is closed; MP_FULL: no room, and until is MP_NOW;
** MP_TIMEOUT; MP_INTERRUPTED; MP_FOREIGN: a ticket names nothing; -ENOMEM; -EBADF: this end only
** receives. Unless 0, nothing was sent. */
MP_API MP_MUST_USE int mp_connection_send(mp_connection *e, const mp_parcel *p, mp_deadline until);

/* Takes one message, to be freed with mp_letter_free. MP_CLOSED: there is none and the other end is
** closed; MP_TOO_BIG: it is longer than max bytes, and stays; MP_EMPTY: there is none, and until is
** MP_NOW; MP_TIMEOUT; MP_INTERRUPTED; MP_LIMIT as for mp_queue_get; -EBADF: this end only sends. */
MP_API MP_MUST_USE int mp_connection_receive(mp_connection *e, size_t max, mp_deadline until,
                                             mp_letter *out);

/* Waits until a message, or the end, can be received. MP_TIMEOUT; MP_INTERRUPTED; -EBADF. */
MP_API MP_MUST_USE int mp_connection_poll(mp_connection *e, mp_deadline until);

/* ---- conditions ----------------------------------------------------------------------
** Wait, in front of a lock, to be notified that something has changed. Those who wait are
** notified in the order in which they came. One that dies before it is back passes what it was
** notified of on to the next; one that dies while it waits is not counted.
*/
typedef struct mp_handle mp_condition;

/* Makes one over a lock of either kind, which lives at least as long. -EINVAL: it is none;
** -ENOMEM. */
MP_API MP_MUST_USE int mp_condition_new(mp_context *c, mp_lock *lock, mp_condition **out);
MP_API MP_MUST_USE int mp_condition_open(mp_context *c, mp_ticket t, mp_condition **out);
MP_API mp_condition *mp_condition_close(mp_condition *n);

/* A handle for its lock, to be closed by the caller: what `lock` is in the calls below. -ENOMEM. */
MP_API MP_MUST_USE int mp_condition_lock(mp_condition *n, mp_lock **out);

/* Gives the lock back, however deep, waits to be notified, and takes it again just as deep; for the
** last part there is no deadline and no interruption. 0: notified. MP_TIMEOUT, MP_INTERRUPTED: not
** notified. *abandoned, unlike other results, is set in all these cases: 1 when the lock's last
** holder died with it. MP_NOT_OWNER: the caller did not hold the lock; nothing has changed. */
MP_API MP_MUST_USE int mp_condition_wait(mp_condition *n, mp_lock *lock, mp_deadline until,
                                         int *abandoned);

/* Notifies `many` of those that wait, or all there are. MP_NOT_OWNER as above. */
MP_API MP_MUST_USE int mp_condition_notify(mp_condition *n, const mp_lock *lock, uint32_t many);

/* How many wait and are not notified yet. */
MP_API unsigned mp_condition_waiting(mp_condition *n);

/* ---- barriers ------------------------------------------------------------------------
** A number of parties wait until all of them have arrived, as often as they like. When one that has
** arrived dies, or runs out of time, the barrier breaks: those inside, and all who come, are told
** so, until it is reset.
*/
typedef struct mp_handle mp_barrier;

/* For 1 .. 4095 parties, -EINVAL; -ENOMEM. */
MP_API MP_MUST_USE int mp_barrier_new(mp_context *c, unsigned parties, mp_barrier **out);
MP_API MP_MUST_USE int mp_barrier_open(mp_context *c, mp_ticket t, mp_barrier **out);
MP_API mp_barrier *mp_barrier_close(mp_barrier *b);

/* What the last party to arrive does before it lets all pass. Not 0: it failed, the barrier
** breaks. It must return. */
typedef struct mp_barrier_act {
  int (*run)(void *arg);
  void *arg;
} mp_barrier_act;

/* Arrives and waits for the others; *number is another one of 1 .. parties for each. All parties
** give an action, or none does (NULL). MP_BROKEN: the barrier is broken, or breaks, by the deadline
** too. MP_TIMEOUT: the deadline passed before one could arrive, as an action was running.
** MP_INTERRUPTED: the arrival is taken back. -EDEADLK: called from the action. -ENOMEM. */
MP_API MP_MUST_USE int mp_barrier_wait(mp_barrier *b, mp_deadline until, const mp_barrier_act *act,
                                       unsigned *number);

/* Breaks it for those inside and leaves it whole for those to come; or broken. */
MP_API void mp_barrier_reset(mp_barrier *b);
MP_API void mp_barrier_abort(mp_barrier *b);

typedef struct mp_barrier_look {
  unsigned parties, waiting;
  int broken;
} mp_barrier_look;
MP_API mp_barrier_look mp_barrier_look_at(mp_barrier *b);

/* ---- waiting on many ---------------------------------------------------------------------
** Queues, connections and events can be waited for by their descriptors, in any event loop.
*/

/* A descriptor that is readable while there is something to get or receive, or the event is set. It
** may be readable for nothing: when another process was faster, and for a moment every half second
** (a process that puts something may be killed before it can tell). So look, without waiting,
** before you take it at its word: a look that finds nothing makes it unreadable again. Closed with
** the object's handle; a forked child asks for its own. -EINVAL: nothing to wait for; else as the
** system says. */
MP_API MP_MUST_USE int mp_fileno(struct mp_handle *object, int *fd);
/* Such a look, at what the object is for: 1, or 0. */
MP_API int mp_ready(struct mp_handle *object);

typedef struct mp_waiting {
  struct mp_handle *object; /* a queue, connection or event; NULL: a descriptor */
  int fd;                   /* to be readable; below 0: never */
  int ready;                /* the answer */
} mp_waiting;

/* Waits until one of n things is ready; *count: how many are. MP_TIMEOUT; MP_INTERRUPTED; -EINVAL:
** an object is nothing to wait for; -ENOMEM, and what else the system says. */
MP_API MP_MUST_USE int mp_wait(mp_context *c, mp_waiting *items, size_t n, mp_deadline until,
                               size_t *count);

#ifdef __cplusplus
}
#endif
#endif
