/*
** Pool: the creator's side: submitting tasks, collecting what is over, ending.
**
** Structure: one object with three lists of tasks (in line, running, over), the one that the
** creator reads, and the functions that tasks refer to by number.
** Lock: the object's own, for every list; two parks: workers wait for tasks, the creator for
** results. Invariant: each task is in one list according to its state; a running one is named by
** the handle entry of a worker; counts are the lists' lengths.
** Death: a worker's by mp_pool_owner_died (pool_work.c); the creator's ends the pool, and the
** supervisor's breaks it: its workers die with it, and whoever waits is told. What is left in the
** lists goes with the object, task by task.
*/
#include "pool.h"

#include <errno.h>

#include "bell.h"
#include "clock.h"
#include "pool_layout.h"

int mp_pool_new(struct mp_context *c, const struct mp_pool_options *o, struct mp_handle **out) {
  struct mp_handle *h;
  if (o->workers == 0) return -EINVAL;
  int r = mp_object_new(c, MP_KIND_POOL, sizeof(struct pool), &h);
  if (r != 0) return r;
  struct pool *p = pool_of(h);
  w32_put(&p->workers, o->workers);
  w32_put(&p->tasks_per_worker, o->tasks_per_worker);
  w64_put(&p->memory_per_worker, o->memory_per_worker);
  mp_object_publish(h, NULL, 0);
  w32_put(&h->entry->held, HELD_CREATOR);
  *out = h;
  return 0;
}

/* ---- submitting ---- */

int mp_pool_submit(struct mp_handle *pool, const struct mp_parcel *task,
                   const struct mp_task_options *o, uint64_t *id) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_ref ref;
  if (o->count == 0 || o->timeout < 0) return -EINVAL;
  if (w32_get_acquire(&p->state) != MP_POOL_OPEN) return MP_CLOSED;
  int r = mp_task_reserve(c, task, o, &ref);
  if (r != 0) return r;
  struct task *t = task_at(c, ref);
  mp_ref message = w32_get(&t->message);
  mp_mutex_lock(c, &p->object.lock);
  bool open = w32_get(&p->state) == MP_POOL_OPEN;
  if (open) {
    uint32_t serial = w32_get(&p->serial) + 1;
    w64_put(&t->id, (uint64_t)serial << 32 | ref);
    mp_tx_set32(c, &p->serial, serial);
    mp_task_line_up(c, p, ref, false);
    mp_tx_publish(c, ref);
    if (message != MP_NONE) mp_tx_publish(c, message);
    mp_tx_commit(c);
    *id = (uint64_t)serial << 32 | ref;
  }
  mp_mutex_unlock(c, &p->object.lock);
  if (open)
    pool_call_worker(c, p);
  else
    mp_task_unreserve(c, ref);
  return open ? 0 : MP_CLOSED;
}

/* ---- collecting ---- */

/* Moves the first task that is over into the creator's hands. */
static mp_ref over_pop(struct mp_context *c, struct pool *p) {
  mp_mutex_lock(c, &p->object.lock);
  mp_ref ref = w32_get(&p->over);
  if (ref != MP_NONE) {
    mp_ref next = w32_get(&task_at(c, ref)->next);
    mp_tx_set32(c, &p->over, next);
    if (next == MP_NONE) mp_tx_set32(c, &p->over_last, MP_NONE);
    mp_tx_set32(c, &p->collected, ref);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &p->object.lock);
  return ref;
}

static void result_open(struct mp_context *c, mp_ref ref, struct mp_pool_result *out) {
  const struct task *t = task_at(c, ref);
  bool cut = (w32_get(&t->flags) & TASK_CUT) != 0;
  *out = (struct mp_pool_result){w64_get(&t->id), ref,
                                 cut ? w32_get(&t->count) : task_settled(c, t)};
}

/* A look for results, with the processor in hand: not where a worker could use it. */
static bool results_spin(struct mp_context *c, const struct pool *p) {
  return w32_get(&p->running_count) < c->processors && mp_park_spin32(c, &p->over, MP_NONE);
}

/* Sleeps until so many more tasks are over, or one is there already. As mp_park_wait. */
static int results_wait(struct mp_context *c, struct pool *p, uint32_t many, mp_deadline until,
                        unsigned *nap) {
  uint32_t seq = mp_park_ticket(&p->results);
  /* `done` may show a change that is undone: then we are woken when nothing is left, or nap */
  if (many > 1) w64_put(&p->enough, w64_get(&p->done) + many);
  mp_park_announce(&p->results);
  bool there = w32_get(&p->over) != MP_NONE || w32_get(&p->state) > MP_POOL_CLOSED;
  int r = there ? 0 : mp_park_wait(c, &p->results, seq, until, nap);
  if (many > 1) w64_put(&p->enough, 0);
  return r;
}

int mp_pool_collect_many(struct mp_handle *pool, uint32_t many, mp_deadline until,
                         struct mp_pool_result *out) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_ref ref = w32_get(&p->collected); /* was not forgotten: the creator failed to read it */
  for (unsigned nap = 0; ref == MP_NONE;) {
    ref = w32_get(&p->over) != MP_NONE ? over_pop(c, p) : MP_NONE;
    if (ref != MP_NONE) break;
    uint32_t state = w32_get_acquire(&p->state);
    if (state == MP_POOL_BROKEN) return MP_BROKEN;
    if (state == MP_POOL_TERMINATED) return MP_CLOSED;
    if (until == MP_NOW) return MP_EMPTY;
    if (many == 1 && results_spin(c, p)) continue;
    int r = results_wait(c, p, many, until, &nap);
    if (r != 0) return r;
  }
  result_open(c, ref, out);
  return 0;
}

int mp_pool_collect(struct mp_handle *pool, mp_deadline until, struct mp_pool_result *out) {
  return mp_pool_collect_many(pool, 1, until, out);
}

/* Makes *out of the item that starts at `at`; gives where the next one starts. */
static uint32_t item_read(struct mp_context *c, struct item_area *a, uint32_t at,
                          struct mp_item *out) {
  uint32_t head, length;
  const unsigned char *data = area_data(a) + at + ITEM_HEAD;
  memcpy(&head, data - ITEM_HEAD, ITEM_HEAD);
  length = head >> 4;
  *out = (struct mp_item){.kind = (enum mp_item_kind)(head & 7u)};
  if (head & ITEM_BY_REFERENCE) {
    mp_ref message;
    memcpy(&message, data, sizeof message);
    out->parcel = mp_message_view(c, message);
  } else if (out->kind > MP_ITEM_ERROR) {
    memcpy(&out->pid, data, sizeof out->pid);
    memcpy(&out->status, data + sizeof out->pid, sizeof out->status);
  } else {
    out->parcel = (struct mp_parcel){.bytes = data, .length = length};
  }
  return at + ITEM_HEAD + (uint32_t)mp_round_up(length, 4);
}

bool mp_pool_item(struct mp_handle *pool, const struct mp_pool_result *r,
                  struct mp_item_cursor *at, struct mp_item *out) {
  struct mp_context *c = pool->context;
  const struct task *t = task_at(c, r->task);
  if (at->area == MP_NONE) at->area = w32_get(&t->area);
  struct item_area *a = area_at(c, at->area);
  while (at->at >= area_bytes(a) && w32_get(&a->next) != MP_NONE) {
    at->area = w32_get(&a->next);
    at->at = 0;
    a = area_at(c, at->area);
  }
  if (at->at < area_bytes(a))
    at->last = at->at;
  else if (!(w32_get(&t->flags) & TASK_CUT) || at->given == w32_get(&t->count))
    return false;
  at->at = item_read(c, a, at->last, out);
  at->given++;
  return true;
}

struct mp_parcel mp_pool_parcel(struct mp_handle *pool, const struct mp_pool_result *r) {
  return mp_task_parcel(pool->context, r->task);
}

void mp_pool_forget(struct mp_handle *pool, const struct mp_pool_result *r) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  MP_ASSERT(w32_get(&p->collected) == r->task);
  mp_mutex_lock(c, &p->object.lock);
  mp_tx_set32(c, &p->collected, MP_NONE);
  mp_tx_doom(c, r->task, MP_BLOCK_TASK);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  mp_heap_free_doomed(c);
  mp_object_reap(c);
  mp_bell_follow(pool);
}

/* ---- ending ---- */

/* The task that the number names, if it is still there. */
static struct task *task_of_id(struct mp_context *c, uint64_t id) {
  mp_ref ref = (mp_ref)id;
  if (!mp_heap_is_block(c, ref) || w64_get(&task_at(c, ref)->id) != id) return NULL;
  return task_at(c, ref);
}

int mp_pool_cancel(struct mp_handle *pool, uint64_t id, bool running) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  int r = MP_EMPTY;
  mp_mutex_lock(c, &p->object.lock);
  struct task *t = task_of_id(c, id);
  uint32_t state = t == NULL ? 0 : w32_get(&t->state);
  if (state == TASK_WAITING) {
    mp_task_leave_line(c, p, (mp_ref)id);
    mp_task_over(c, p, (mp_ref)id);
  }
  if (state == TASK_WAITING || (state == TASK_RUNNING && running)) {
    mp_tx_set32(c, &t->flags, w32_get(&t->flags) | TASK_KILL_CANCEL);
    mp_tx_commit(c);
    r = 0;
  }
  mp_mutex_unlock(c, &p->object.lock);
  if (r == 0) mp_park_wake(c, &p->results, 1);
  return r;
}

/* The task that is next in line, by its number; 0: none. */
static uint64_t line_first(struct mp_handle *pool) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  mp_ref ref = w32_get(&p->todo);
  uint64_t id = ref == MP_NONE ? 0 : w64_get(&task_at(c, ref)->id);
  mp_mutex_unlock(c, &p->object.lock);
  return id;
}

void mp_pool_cancel_waiting(struct mp_handle *pool) {
  for (uint64_t id; (id = line_first(pool)) != 0;) {
    int r = mp_pool_cancel(pool, id, false);
    (void)r; /* else a worker has it now */
  }
}

static void pool_set_state(struct mp_handle *pool, enum mp_pool_state state) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  uint32_t now = w32_get(&p->state);
  if (now == MP_POOL_OPEN || (now == MP_POOL_CLOSED && state > MP_POOL_CLOSED)) {
    mp_tx_set32(c, &p->state, state);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &p->object.lock);
  mp_park_wake(c, &p->work, UINT32_MAX);
  mp_park_wake(c, &p->results, UINT32_MAX);
}

void mp_pool_close(struct mp_handle *pool) {
  pool_set_state(pool, MP_POOL_CLOSED);
}

void mp_pool_terminate(struct mp_handle *pool) {
  pool_set_state(pool, MP_POOL_TERMINATED);
}

void mp_pool_kill(struct mp_handle *pool) {
  w32_put(&pool_of(pool)->killing, 1);
  mp_pool_terminate(pool);
}

void mp_pool_part(struct mp_handle *pool) {
  w32_put(&pool_of(pool)->parting, 1);
  mp_pool_close(pool);
}

void mp_pool_leave(struct mp_handle *pool) {
  pool_set_state(pool, MP_POOL_TERMINATED);
  w32_put(&pool->entry->held, 0);
  (void)mp_handle_close(pool);
}

void mp_pool_break(struct mp_handle *pool, int error) {
  w32_put(&pool_of(pool)->refused, (uint32_t)error);
  pool_set_state(pool, MP_POOL_BROKEN);
}

int mp_pool_refused(const struct mp_handle *pool) {
  return (int)w32_get(&pool_of(pool)->refused);
}

bool mp_pool_is_running(struct mp_handle *pool, uint64_t id) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  const struct task *t = task_of_id(c, id);
  bool is = t != NULL && w32_get(&t->state) == TASK_RUNNING;
  mp_mutex_unlock(c, &p->object.lock);
  return is;
}

enum mp_pool_state mp_pool_state(const struct mp_handle *pool) {
  return (enum mp_pool_state)w32_get_acquire(&pool_of(pool)->state);
}

struct mp_pool_stats mp_pool_stats(struct mp_handle *pool) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  struct mp_pool_stats s = {0};
  mp_mutex_lock(c, &p->object.lock);
  s.workers = w32_get(&p->worker_count);
  s.running = w32_get(&p->running_count);
  s.waiting = w32_get(&p->waiting_count);
  s.idle = s.workers > s.running ? s.workers - s.running : 0;
  s.done = w64_get(&p->done);
  s.failed = w64_get(&p->failed);
  s.lost = w64_get(&p->lost);
  s.restarted = w64_get(&p->restarted);
  mp_mutex_unlock(c, &p->object.lock);
  return s;
}

bool mp_pool_initializer_error(struct mp_handle *pool, struct mp_parcel *out) {
  mp_ref message = w32_get_acquire(&pool_of(pool)->initializer_error);
  if (message == MP_NONE) return false;
  *out = mp_message_view(pool->context, message);
  return true;
}

/* ---- the kind ---- */

/* Takes the first task of a list out and frees it. */
static bool list_drop(struct mp_context *c, struct pool *p, mp_w32 *head) {
  mp_ref ref = w32_get(head);
  if (ref == MP_NONE) return false;
  mp_mutex_lock(c, &p->object.lock);
  mp_tx_set32(c, head, head == &p->collected ? MP_NONE : w32_get(&task_at(c, ref)->next));
  mp_tx_doom(c, ref, MP_BLOCK_TASK);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  mp_heap_free_doomed(c);
  return true;
}

static void pool_destroy(struct mp_context *c, struct mp_object *o) {
  struct pool *p = (struct pool *)(void *)o;
  mp_w32 *lists[] = {&p->todo, &p->running, &p->over, &p->collected};
  for (size_t i = 0; i < MP_COUNT_OF(lists); i++)
    while (list_drop(c, p, lists[i])) {}
  mp_pool_message_drop(c, p, &p->initializer_error);
  mp_pool_functions_drop(c, p);
}

static const char *list_check(struct mp_context *c, const mp_w32 *head, enum task_state state,
                              struct mp_walk *w, uint32_t *count) {
  mp_ref prev = MP_NONE;
  *count = 0;
  for (mp_ref ref = w32_get(head); ref != MP_NONE; ++*count) {
    const struct task *t = task_at(c, ref);
    const char *wrong = mp_task_check(c, ref, w);
    if (wrong != NULL) return wrong;
    if (w32_get(&t->state) != (uint32_t)state) return "pool: a task is in the wrong list";
    if (state != TASK_OVER && w32_get(&t->prev) != prev) return "pool: a list's links do not match";
    if (state == TASK_RUNNING && mp_slot_gone(c, w32_get(&t->worker)))
      return "pool: a running task's worker is gone";
    prev = ref;
    ref = w32_get(&t->next);
  }
  return NULL;
}

static const char *pool_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  const struct pool *p = (const struct pool *)(const void *)o;
  uint32_t waiting, running, over;
  const char *wrong = list_check(c, &p->todo, TASK_WAITING, w, &waiting);
  if (wrong == NULL) wrong = list_check(c, &p->running, TASK_RUNNING, w, &running);
  if (wrong == NULL) wrong = list_check(c, &p->over, TASK_OVER, w, &over);
  if (wrong == NULL && w32_get(&p->collected) != MP_NONE)
    wrong = mp_task_check(c, w32_get(&p->collected), w);
  if (wrong == NULL && w32_get(&p->initializer_error) != MP_NONE)
    wrong = mp_walk_message(w, w32_get(&p->initializer_error));
  if (wrong == NULL) wrong = mp_pool_functions_check(c, p, w);
  if (wrong != NULL) return wrong;
  if (waiting != w32_get(&p->waiting_count)) return "pool: waiting tasks are miscounted";
  return running == w32_get(&p->running_count) ? NULL : "pool: running tasks are miscounted";
}

const struct mp_kind mp_pool_kind = {"Pool", mp_pool_owner_died, pool_destroy, pool_check};

/* ---- bells ---- */

/* There is something to collect, or never will be. */
static bool pool_ready(struct mp_context *c, struct mp_object *o) {
  const struct pool *p = (const struct pool *)(const void *)o;
  (void)c;
  return w32_get(&p->over) != MP_NONE || w32_get(&p->collected) != MP_NONE ||
         w32_get_acquire(&p->state) == MP_POOL_BROKEN;
}

static struct mp_park *pool_park(struct mp_context *c, struct mp_object *o) {
  (void)c;
  return &((struct pool *)(void *)o)->results;
}

const struct mp_waitable mp_pool_waitable = {pool_ready, pool_park};
