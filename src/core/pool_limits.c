/*
** Limits: when the supervisor of a pool kills a worker.
**
** Structure: three looks that its loop takes: at workers that are stopped, at the memory of busy
** ones, at tasks that run too long or were cancelled. The first one is also taken while the
** supervisor itself waits for a mutex (context->stuck), as the holder may be such a worker.
** Lock: the pool's, to look at running tasks and to mark those whose workers are to be killed.
** Invariant: a task is marked before its worker is killed, and a worker that ends a marked task
** takes no other (mp_work_done): no kill hits the wrong task. Only own children are killed that
** are not reaped, so no stranger has the pid.
** Death: the supervisor's, between mark and kill: its workers die with it.
*/
#include <signal.h>

#include "clock.h"
#include "mutex.h"
#include "os.h"
#include "pool_watch.h"

#define STOPPED_NS INT64_C(100000000) /* that a worker may be stopped where others wait for it */
#define LOOK_NS INT64_C(500000000)    /* from one look at workers to the next, if nobody tells */
#define MEASURE_NS INT64_C(100000000) /* from one look at busy workers' memory to the next */

/* One that can't be told has ended: it is reaped next. */
void mp_watch_signal(const struct watch *w, uint32_t tag, int signal_number) {
  for (uint32_t i = 0; i < w->seats; i++) {
    if (w->seat[i] == NULL || (tag != 0 && w->seat[i]->tag != tag)) continue;
    int r = mp_process_signal(w->seat[i], signal_number);
    (void)r;
  }
}

/* ---- stopped workers ---- */

/* The child in that seat, until it is reaped: its pid is nobody else's. */
static int32_t seat_stopped(const struct watch *w, uint32_t i) {
  const struct mp_process *p = w->seat[i];
  return p != NULL && mp_os_child_stopped(p->pid) ? p->pid : 0;
}

/* A worker that is stopped where others have to wait for it is killed, if it stays so; then it is
** cleaned up after as any dead one. One that is stopped anywhere else is left alone. Takes no
** mutex: this is called while we wait for one, too. */
static void seat_release(struct watch *w, uint32_t i, int64_t now) {
  int32_t pid = seat_stopped(w, i);
  if (pid == 0 || !mp_mutex_detains(w->c, pid))
    w->stopped[i] = 0;
  else if (w->stopped[i] == 0)
    w->stopped[i] = now;
  else if (now - w->stopped[i] >= STOPPED_NS)
    (void)mp_os_signal_process(pid, -1, SIGKILL);
}

void mp_watch_release(void *arg) {
  struct watch *w = arg;
  int64_t now = mp_clock_now();
  for (uint32_t i = 0; i < w->seats; i++) seat_release(w, i, now);
}

/* A worker that is stopped cannot watch the line for the others. */
static void seat_relieve(const struct watch *w, uint32_t i) {
  struct pool *p = pool_of(w->pool);
  if (seat_stopped(w, i) == 0) return;
  uint32_t watcher = w->seat[i]->tag;
  if (w32_cas(&p->lookout, &watcher, 0)) mp_park_wake(w->c, &p->work, 1);
}

void mp_watch_stopped(struct watch *w) {
  if (!w->look && w->news >= 0) return;
  w->look = false;
  if (w->news < 0) w->wake_up = mp_clock_cap(w->wake_up, LOOK_NS);
  mp_watch_release(w);
  for (uint32_t i = 0; i < w->seats; i++) {
    seat_relieve(w, i);
    if (w->stopped[i] == 0) continue;
    w->look = true;
    w->wake_up = mp_clock_cap(w->wake_up, STOPPED_NS);
  }
}

/* ---- memory ---- */

/* Notes what runs now. */
static void memory_note(struct watch *w) {
  struct pool *p = pool_of(w->pool);
  struct measured *m = w->before;
  w->before = w->measured;
  w->before_count = w->measured_count;
  w->measured = m;
  mp_mutex_lock(w->c, &p->object.lock);
  for (mp_ref ref = w32_get(&p->running); ref != MP_NONE && m < w->measured + w->seats;) {
    const struct task *t = task_at(w->c, ref);
    *m++ = (struct measured){
        .task = w64_get(&t->id), .worker = w32_get(&t->worker), .item = task_settled(w->c, t)};
    ref = w32_get(&t->next);
  }
  mp_mutex_unlock(w->c, &p->object.lock);
  w->measured_count = (uint32_t)(m - w->measured);
}

static bool memory_was_large(const struct watch *w, const struct measured *now) {
  for (uint32_t k = 0; k < w->before_count; k++) {
    const struct measured *m = &w->before[k];
    if (m->task == now->task && m->worker == now->worker && m->item == now->item) return m->large;
  }
  return false;
}

/* Measures who runs it; gives how many have been too large for two looks. */
static uint32_t memory_measure(struct watch *w) {
  uint64_t limit = w64_get(&pool_of(w->pool)->memory_per_worker), used;
  uint32_t large = 0;
  for (uint32_t k = 0; k < w->measured_count; k++) {
    struct measured *m = &w->measured[k];
    for (uint32_t i = 0; i < w->seats; i++) {
      const struct mp_process *seat = w->seat[i];
      if (seat == NULL || seat->tag != m->worker) continue;
      m->large = mp_os_memory_used(seat->pid, &used) == 0 && used > limit;
    }
    m->again = m->large && memory_was_large(w, m);
    large += m->again;
  }
  return large;
}

static bool memory_condemns(const struct watch *w, const struct task *t) {
  for (uint32_t k = 0; k < w->measured_count; k++) {
    const struct measured *m = &w->measured[k];
    if (m->again && m->task == w64_get(&t->id) && m->worker == w32_get(&t->worker))
      return m->item == task_settled(w->c, t);
  }
  return false;
}

/* Marks the items that are still being run. */
static void memory_judge(struct watch *w) {
  struct pool *p = pool_of(w->pool);
  mp_mutex_lock(w->c, &p->object.lock);
  for (mp_ref ref = w32_get(&p->running); ref != MP_NONE;) {
    struct task *t = task_at(w->c, ref);
    if (w32_get(&t->flags) == 0 && memory_condemns(w, t)) {
      mp_task_condemn(w->c, t, TASK_KILL_MEMORY);
      mp_tx_commit(w->c);
    }
    ref = w32_get(&t->next);
  }
  mp_mutex_unlock(w->c, &p->object.lock);
}

/* While a task runs, we look again soon; before we sleep for longer, whoever takes one is asked to
** tell. */
static void memory_rest(struct watch *w) {
  struct pool *p = pool_of(w->pool);
  uint32_t busy = w32_get(&p->running_count);
  w32_put(&p->measured, busy > 0);
  mp_full_fence(); /* before the second look; pairs with work_unmeasured */
  if (busy > 0 || w32_get(&p->running_count) > 0) w->wake_up = mp_clock_cap(w->wake_up, MEASURE_NS);
}

/* That memory grows is no event to wait for: while tasks run, it is measured now and then. An item
** is to blame only if it runs on: a worker that is too large after a short one is replaced without
** harm. */
void mp_watch_memory(struct watch *w) {
  if (w64_get(&pool_of(w->pool)->memory_per_worker) == 0) return;
  int64_t now = mp_clock_now();
  if (now >= w->measure_at) {
    memory_note(w);
    if (memory_measure(w) > 0) memory_judge(w);
    w->measure_at = now + MEASURE_NS;
  }
  memory_rest(w);
}

/* ---- time ---- */

/* A running task: is its time up, or its end asked for? Gives the worker to kill, or 0. */
static uint32_t task_verdict(struct watch *w, struct task *t, int64_t now) {
  uint64_t timeout = w64_get(&t->timeout);
  uint32_t flags = w32_get(&t->flags);
  if (timeout != 0 && flags == 0) {
    mp_deadline due = (mp_deadline)(w64_get(&t->started) + timeout);
    if (due > now) {
      if (due < w->wake_up) w->wake_up = due;
      return 0;
    }
    mp_task_condemn(w->c, t, TASK_KILL_TIMEOUT);
    mp_tx_commit(w->c);
    flags = TASK_KILL_TIMEOUT;
  }
  return flags != 0 ? w32_get(&t->worker) : 0;
}

/* A worker that finishes its task in between sees the mark and takes no other (mp_work_done). */
void mp_watch_tasks(struct watch *w) {
  struct pool *p = pool_of(w->pool);
  int64_t now = mp_clock_now();
  uint32_t n = 0;
  mp_mutex_lock(w->c, &p->object.lock);
  for (mp_ref ref = w32_get(&p->running); ref != MP_NONE && n < w->seats;) {
    struct task *t = task_at(w->c, ref);
    uint32_t worker = task_verdict(w, t, now);
    if (worker != 0) w->condemned[n++] = worker;
    ref = w32_get(&t->next);
  }
  mp_mutex_unlock(w->c, &p->object.lock);
  while (n > 0) mp_watch_signal(w, w->condemned[--n], SIGKILL);
}
