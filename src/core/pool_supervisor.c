/*
** The supervisor: a process of its own that keeps a pool's workers at strength.
**
** Structure: forked when the pool is made, single-threaded, it runs no Lua. It starts the workers,
** waits for their ends, for a word from the creator and for time limits, all in one poll, and
** replaces who died. It is tied to its creator as a daemon is, and its workers to it: when either
** is killed, so are they. Tasks and results never pass through it. Ctrl-C reaches it with the whole
** group, and it notes how many tasks there had been: what it means is the creator's to decide, but
** one that ends after it, without having given work again, is not kept waiting for what is left.
** Whom it kills, and when, is pool_limits.c.
** Lock: the pool's, to read the last task's number. Invariant: each seat is empty or has one
** worker; a worker that is not up after many starts means that none can be, and the pool is broken.
** A fork that fails is tried again, for ever if there is a worker beside.
** Death: held = HELD_SUPERVISOR in its handle entry tells whoever cleans up that the pool is
** broken; its workers have died with it. Each worker's death is cleaned up here at once: its task
** is settled or goes back in line (pool_work.c).
*/
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "clock.h"
#include "os.h"
#include "pool_watch.h"

#define TERMINATE_NS INT64_C(2000000000) /* from SIGTERM to SIGKILL */
#define RETRY_NS INT64_C(100000000)      /* after a fork that failed */
#define UNREADY_MORE 3u                  /* starts that may fail in a row, beside two a seat */
#define REFUSALS_MOST 5u                 /* forks that may fail in a row, if there is no worker */

static uint32_t seats_taken(const struct watch *w) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < w->seats; i++) n += w->seat[i] != NULL;
  return n;
}

/* ---- starting ---- */

/* private; of a supervisor's process, written before its handler is there */
static struct {
  const struct pool *pool;
  int32_t pid;
  int control;
  volatile sig_atomic_t came;
  volatile uint32_t after; /* the last task there was when Ctrl-C came */
} interrupt;

/* Async-signal-safe. The number is read here, as work may be given before the loop comes by;
** without the lock, as a submission that goes on meanwhile is neither before nor after it. */
static void interrupt_note(int signal_number) {
  int error = errno;
  (void)signal_number;
  if (mp_os_pid() != interrupt.pid) return; /* a worker: it leaves that to the supervisor */
  interrupt.after = w32_get(&interrupt.pool->serial);
  interrupt.came = 1;
  (void)mp_os_eventfd_post(interrupt.control); /* it may come right before the loop sleeps */
  errno = error;
}

static void interrupt_begin(void *supervisor) {
  const struct mp_supervisor *s = (const struct mp_supervisor *)supervisor;
  interrupt.pool = pool_of(s->pool);
  interrupt.pid = mp_os_pid();
  interrupt.control = s->control;
  interrupt.came = 0; /* before, it was for the process that it was forked from */
}

static void interrupt_enforce(struct watch *w) {
  struct pool *p = pool_of(w->pool);
  if (!interrupt.came || !w32_get(&p->parting)) return;
  mp_mutex_lock(w->c, &p->object.lock);
  uint32_t last = w32_get(&p->serial);
  mp_mutex_unlock(w->c, &p->object.lock);
  if (interrupt.after == last) mp_pool_terminate(w->pool);
}

static bool workers_wanted(const struct watch *w) {
  const struct pool *p = pool_of(w->pool);
  uint32_t state = w32_get_acquire(&p->state);
  return state == MP_POOL_OPEN || (state == MP_POOL_CLOSED && w32_get(&p->todo) != MP_NONE);
}

/* Counts a start, or takes it back. Before the worker runs, so that whoever has a result of its has
** its start in the figures. */
static void started_add(struct watch *w, int n) {
  struct pool *p = pool_of(w->pool);
  uint32_t unready = w32_get(&p->unready);
  w->started += (uint32_t)n;
  if (w->started >= w->seats) w64_put(&p->restarted, w->started - w->seats);
  if (n > 0) (void)w32_add(&p->unready, 1);
  else /* a worker may have come up meanwhile, which makes it 0 */
    while (unready != 0 && !w32_cas(&p->unready, &unready, unready - 1)) {}
}

/* Fills a seat. 1: this is the worker. */
static int seat_fill(struct watch *w, uint32_t i) {
  struct pool *p = pool_of(w->pool);
  const char name[] = "pool worker"; /* on the stack, which the child has in memory */
  mp_process_options o = {.name = name, .daemon = 1, .interrupt = interrupt_note};
  started_add(w, 1);
  int r = mp_process_start(w->c, &o, &w->seat[i]);
  if (r != 0) started_add(w, -1);
  if (r != 0) return r;
  if (w->seat[i] == NULL) return 1;
  w->refusals = 0;
  w32_put(&p->worker_count, seats_taken(w));
  return 0;
}

/* The system has refused to start a worker. */
static int seats_wait(struct watch *w, int error) {
  if (seats_taken(w) == 0 && ++w->refusals >= REFUSALS_MOST) mp_pool_break(w->pool, error);
  w->wake_up = mp_clock_after(RETRY_NS);
  return 0;
}

/* Fills the empty seats. 1: this is a worker. */
static int seats_fill(struct watch *w) {
  const struct pool *p = pool_of(w->pool);
  for (uint32_t i = 0; i < w->seats; i++) {
    if (w->seat[i] != NULL || !workers_wanted(w)) continue;
    if (w32_get(&p->unready) >= w->seats * 2 + UNREADY_MORE) {
      mp_pool_break(w->pool, 0);
      return 0;
    }
    int r = seat_fill(w, i);
    if (r == 1) return 1;
    if (r != 0) return seats_wait(w, r);
  }
  return 0;
}

/* ---- ending ---- */

/* Cleans up after workers that have ended. */
static void seats_reap(struct watch *w) {
  for (uint32_t i = 0; i < w->seats; i++) {
    if (w->seat[i] == NULL || mp_process_join(w->seat[i], MP_NOW) != 0) continue;
    w->seat[i] = mp_process_close(w->seat[i]);
    w32_put(&pool_of(w->pool)->worker_count, seats_taken(w));
  }
}

/* After SIGKILL there is nothing to wait for but the workers' ends. */
static void pool_enforce_end(struct watch *w) {
  enum mp_pool_state state = mp_pool_state(w->pool);
  if (state != MP_POOL_TERMINATED && state != MP_POOL_BROKEN) return;
  if (w32_get(&pool_of(w->pool)->killing)) {
    w->kill_at = MP_NOW;
  } else if (!w->terminating) {
    w->kill_at = mp_clock_after(TERMINATE_NS);
    mp_watch_signal(w, 0, SIGTERM);
    mp_watch_signal(w, 0, SIGCONT); /* one that is stopped hears it too */
  }
  w->terminating = true;
  if (mp_clock_now() >= w->kill_at)
    mp_watch_signal(w, 0, SIGKILL);
  else if (w->kill_at < w->wake_up)
    w->wake_up = w->kill_at;
}

/* ---- the loop ---- */

static void watch_wait(struct watch *w) {
  struct pollfd *sentinel = w->fds + 2;
  w->fds[0] = (struct pollfd){.fd = w->control, .events = POLLIN};
  w->fds[1] = (struct pollfd){.fd = w->news, .events = POLLIN};
  for (uint32_t i = 0; i < w->seats; i++) {
    sentinel[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    if (w->seat[i] != NULL && mp_process_sentinel(w->seat[i], &sentinel[i].fd) != 0)
      w->wake_up = mp_clock_cap(w->wake_up, RETRY_NS); /* no descriptor to wait with: look again */
  }
  (void)mp_os_poll(w->fds, w->seats + 2, w->wake_up);
  (void)mp_os_eventfd_drain(w->control);
  if (w->fds[1].revents == 0) return;
  (void)mp_os_child_news_drain(w->news);
  w->look = true;
}

/* Returns in a worker only, with its number. */
static uint32_t watch_run(struct watch *w) {
  for (;;) {
    w->wake_up = MP_FOREVER;
    interrupt_enforce(w);
    seats_reap(w);
    if (seats_fill(w) == 1) return w->started;
    mp_watch_stopped(w);
    pool_enforce_end(w);
    if (!workers_wanted(w) && seats_taken(w) == 0) break;
    mp_watch_memory(w);
    mp_watch_tasks(w);
    watch_wait(w);
  }
  w32_put(&w->pool->entry->held, 0); /* an orderly end: nothing is broken by it */
  mp_process_exit(w->c, 0);
}

static bool watch_open(struct watch *w) {
  w->seats = w32_get(&pool_of(w->pool)->workers);
  w->seat = calloc(w->seats, sizeof *w->seat);
  w->stopped = calloc(w->seats, sizeof *w->stopped);
  w->fds = calloc(w->seats + 2, sizeof *w->fds);
  w->condemned = calloc(w->seats, sizeof *w->condemned);
  w->measured = calloc(w->seats, sizeof *w->measured);
  w->before = calloc(w->seats, sizeof *w->before);
  if (mp_os_child_news(&w->news) != 0) w->news = -1; /* then we look now and then */
  return w->seat != NULL && w->stopped != NULL && w->fds != NULL && w->condemned != NULL &&
         w->measured != NULL && w->before != NULL;
}

/* A worker has a copy of all that: it is not its concern. */
static void watch_close(struct watch *w) {
  w->c->stuck = NULL;
  w->news = mp_os_child_news_close(w->news);
  free(w->seat);
  free(w->stopped);
  free(w->fds);
  free(w->condemned);
  free(w->measured);
  free(w->before);
}

static uint32_t supervise(struct mp_handle *pool, int control, int32_t creator) {
  struct mp_context *c = pool->context;
  struct watch w = {.pool = pool, .c = c, .control = control};
  mp_process_runs_no_host();
  w32_put(&pool->entry->held, HELD_SUPERVISOR);
  w32_put(&pool_of(pool)->supervisor, c->tag);
  if (!watch_open(&w)) mp_process_exit(c, 1); /* held: the pool is broken */
  c->stuck = mp_watch_release;
  c->stuck_arg = &w;
  uint32_t number = watch_run(&w);
  watch_close(&w);
  mp_process_started_by(creator);
  return number;
}

int mp_supervisor_start(struct mp_handle *pool, struct mp_supervisor *out, uint32_t *worker) {
  const char name[] = "pool supervisor"; /* on the stack, as a worker's */
  struct mp_supervisor s = {NULL, pool, -1};
  mp_process_options o = {
    .name = name, .daemon = 1, .interrupt = interrupt_note, .born = interrupt_begin, .arg = &s};
  int r = mp_os_eventfd(&s.control);
  if (r != 0) return r;
  int32_t creator = mp_os_pid();
  r = mp_process_start(pool->context, &o, &s.process);
  if (r != 0) {
    (void)mp_os_close(s.control);
    return r;
  }
  *out = s;
  *worker = s.process == NULL ? supervise(pool, s.control, creator) : 0;
  return 0;
}

void mp_supervisor_notify(const struct mp_supervisor *s) {
  if (s->control >= 0) (void)mp_os_eventfd_post(s->control);
}

int mp_supervisor_join(struct mp_supervisor *s, mp_deadline until) {
  return mp_process_join(s->process, until);
}

static void supervisor_farewell(void *s) {
  mp_pool_part(((const struct mp_supervisor *)s)->pool);
  mp_supervisor_notify((const struct mp_supervisor *)s);
}

void mp_supervisor_finishes(struct mp_supervisor *s) {
  s->process->farewell = supervisor_farewell;
  s->process->farewell_arg = s;
}

void mp_supervisor_close(struct mp_supervisor *s) {
  if (s->process != NULL) s->process->farewell = NULL;
  s->process = mp_process_close(s->process);
  s->control = mp_os_close(s->control);
}
