/*
** A worker's side of a pool: taking tasks, settling items one by one, and what happens to the
** task in hand when its worker dies.
**
** Lock: the pool's, for taking and handing back; an item that fits its area is settled by one
** store to area.used and no lock. Invariant: `held` of a worker's handle entry names the task in
** its hands, and task.worker names the worker, both in the transactions that move the task.
** Death: owner_died finds the task by `held`: items that are settled count, the one being run is
** ended as lost (or timed out, or cancelled, or too large) or run again if it has retries left, and
** the rest goes back to the front of the line. An ending may take the room that was kept for it:
** who takes the task next makes room before it runs an item. If there is no memory for that, the
** rest ends in the same way: the task is cut.
*/
#include <errno.h>

#include "clock.h"
#include "pool_layout.h"

#define AREA_NEXT 4096u /* bytes of a further area at least */

/* ---- taking ---- */

static bool pool_ended(const struct pool *p) {
  uint32_t state = w32_get_acquire(&p->state);
  return state == MP_POOL_TERMINATED || state == MP_POOL_BROKEN ||
         (state == MP_POOL_CLOSED && w32_get(&p->todo) == MP_NONE);
}

/* Moves the first task in line into the worker's hands; none: MP_NONE. */
static mp_ref work_pop(struct mp_handle *h) {
  struct mp_context *c = h->context;
  struct pool *p = pool_of(h);
  mp_mutex_lock(c, &p->object.lock);
  mp_ref ref = pool_ended(p) ? MP_NONE : w32_get(&p->todo);
  if (ref != MP_NONE) {
    struct task *t = task_at(c, ref);
    mp_task_leave_line(c, p, ref);
    mp_task_start(c, p, ref);
    mp_tx_set32(c, &t->worker, c->tag);
    if (w64_get(&t->timeout) != 0) mp_tx_set64(c, &t->started, (uint64_t)mp_clock_now());
    mp_tx_set32(c, &h->entry->held, ref);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &p->object.lock);
  return ref;
}

/* Does the supervisor sleep, though it is to look at the memory of a worker with a task? */
static bool work_unmeasured(const struct pool *p) {
  if (w64_get(&p->memory_per_worker) == 0) return false;
  mp_full_fence(); /* the task in hand before the look; pairs with memory_rest */
  return w32_get(&p->measured) == 0;
}

static void work_open(struct mp_handle *h, mp_ref ref, struct mp_work *out) {
  const struct task *t = task_at(h->context, ref);
  *out = (struct mp_work){.pool = h, .task = ref, .parcel = mp_task_parcel(h->context, ref)};
  out->id = w64_get(&t->id);
  out->count = w32_get(&t->count);
  out->first = task_settled(h->context, t);
  out->timed = w64_get(&t->timeout) != 0;
  out->notifies = out->timed || work_unmeasured(pool_of(h));
}

/* Watches the line for a moment, one worker at a time: as long as it does, nobody else has to be
** woken for a task. Whoever takes one calls the next worker if there are more. */
static bool work_watch(struct mp_context *c, struct pool *p) {
  uint32_t nobody = 0;
  if (!w32_cas(&p->lookout, &nobody, c->tag)) return false;
  bool found = mp_park_spin32(c, &p->todo, MP_NONE);
  w32_put(&p->lookout, 0);
  mp_full_fence(); /* before the next look at the line; pairs with pool_call_worker */
  return found;
}

/* ---- settling ---- */

/* Appends an area that has room for `need` bytes and an ending. */
static int area_add(struct mp_work *w, uint32_t need) {
  struct mp_context *c = w->pool->context;
  struct pool *p = pool_of(w->pool);
  struct task *t = task_at(c, w->task);
  uint32_t room = need + ITEM_ENDED < AREA_NEXT ? AREA_NEXT : need + ITEM_ENDED;
  mp_ref ref;
  int r = mp_heap_reserve(c, sizeof(struct item_area) + room, MP_BLOCK_PLAIN, &ref);
  if (r != 0) return r;
  memset(area_at(c, ref), 0, sizeof(struct item_area));
  w32_put(&area_at(c, ref)->room, room);
  struct item_area *last = area_at(c, w32_get(&t->last_area));
  mp_mutex_lock(c, &p->object.lock);
  mp_tx_set32(c, &last->next, ref);
  mp_tx_set32(c, &t->last_area, ref);
  mp_tx_set32(c, &t->settled, w32_get(&t->settled) + area_items(last));
  mp_tx_publish(c, ref);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  return 0;
}

/* Settles under the pool's lock: what stands in a message, so that message and item become real
** together; and what has a time limit, so that the supervisor cannot take the next item, which
** starts now, for the late one. */
static void settle_locked(struct mp_work *w, struct item_area *a, uint64_t used, mp_ref message) {
  struct mp_context *c = w->pool->context;
  struct pool *p = pool_of(w->pool);
  struct task *t = task_at(c, w->task);
  mp_mutex_lock(c, &p->object.lock);
  mp_tx_set64(c, &a->used, used);
  if (message != MP_NONE) mp_tx_publish(c, message);
  if (w->timed) mp_tx_set64(c, &t->started, (uint64_t)mp_clock_now());
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
}

/* Writes the item's bytes, or the message that has them, and commits. */
static int settle_in(struct mp_work *w, struct item_area *a, enum mp_item_kind kind,
                     const struct mp_parcel *value, bool apart) {
  struct mp_context *c = w->pool->context;
  mp_ref message = MP_NONE;
  uint64_t used;
  if (apart) {
    int r = mp_message_reserve(c, value, &message);
    if (r != 0) return r;
    memcpy(mp_item_begin(a, kind, true, sizeof message, &used), &message, sizeof message);
  } else {
    uint32_t length = (uint32_t)(value->length + value->tail_length);
    mp_parcel_copy(mp_item_begin(a, kind, false, length, &used), value);
  }
  if (apart || w->timed)
    settle_locked(w, a, used, message);
  else
    w64_put(&a->used, used);
  return 0;
}

int mp_work_settle(struct mp_work *w, enum mp_item_kind kind, const struct mp_parcel *value) {
  struct mp_context *c = w->pool->context;
  struct task *t = task_at(c, w->task);
  size_t length = value->length + value->tail_length;
  bool apart = value->ticket_count != 0 || length > ITEM_INLINE_MAX;
  uint32_t need = ITEM_HEAD + (uint32_t)mp_round_up(apart ? sizeof(mp_ref) : length, 4);
  struct item_area *a = area_at(c, w32_get(&t->last_area));
  if (area_bytes(a) + need + ITEM_ENDED > w32_get(&a->room)) {
    int r = area_add(w, need);
    if (r != 0) return r;
    a = area_at(c, w32_get(&t->last_area));
  }
  int r = settle_in(w, a, kind, value, apart);
  if (r == 0 && kind != MP_ITEM_VALUE) w32_put(&t->failures, w32_get(&t->failures) + 1);
  return r;
}

/* In a transaction: a task leaves its worker and is over. */
static void work_end(struct mp_context *c, struct pool *p, mp_ref ref) {
  struct task *t = task_at(c, ref);
  mp_task_stop(c, p, ref);
  mp_task_over(c, p, ref);
  mp_tx_set32(c, &t->worker, 0);
  if (w32_get(&t->failures) != 0) mp_tx_set64(c, &p->failed, w64_get(&p->failed) + 1);
}

/* In a section: what `enough` has to be for the creator to be woken. With the last task it always
** is. */
static uint64_t work_count(const struct pool *p) {
  bool last = w32_get(&p->running_count) == 0 && w32_get(&p->todo) == MP_NONE;
  return last ? UINT64_MAX : w64_get(&p->done);
}

/* Right after the section. A bell is rung for each task, as nobody knows who waits for it. */
static void work_call_creator(struct mp_context *c, struct pool *p, uint64_t count) {
  mp_fence_after_swap(); /* the task that is over before the look; pairs with results_wait */
  bool enough = count >= w64_get(&p->enough);
  if (enough || (w32_get(&p->results.waiting) & MP_PARK_BELLS)) mp_park_wake(c, &p->results, 1);
}

/* Under the pool's lock, in a transaction, which ends here: the task is over. */
static int work_leave(struct mp_work *w, bool condemned) {
  struct mp_context *c = w->pool->context;
  struct pool *p = pool_of(w->pool);
  work_end(c, p, w->task);
  mp_tx_set32(c, &w->pool->entry->held, HELD_WORKER);
  mp_tx_commit(c);
  uint64_t count = work_count(p);
  mp_mutex_unlock(c, &p->object.lock);
  work_call_creator(c, p, count);
  return condemned ? MP_CLOSED : 0;
}

int mp_work_done(struct mp_work *w) {
  struct mp_context *c = w->pool->context;
  const struct task *t = task_at(c, w->task);
  MP_ASSERT(task_settled(c, t) == w->count);
  mp_mutex_lock(c, &pool_of(w->pool)->object.lock);
  return work_leave(w, w32_get(&t->flags) != 0);
}

/* ---- taking, with room to end ---- */

/* Ends the task as its last item did. Like mp_work_done it says whether this worker may go on. */
static int work_cut(struct mp_work *w) {
  struct mp_context *c = w->pool->context;
  struct pool *p = pool_of(w->pool);
  struct task *t = task_at(c, w->task);
  mp_mutex_lock(c, &p->object.lock);
  uint32_t flags = w32_get(&t->flags);
  if (!(flags & TASK_KILL_CANCEL)) mp_tx_set32(c, &t->flags, flags | TASK_CUT);
  return work_leave(w, flags != 0);
}

/* Room for an ending, before an item runs. MP_EMPTY: there is none, and the task is over. */
static int work_make_room(struct mp_work *w) {
  if (mp_likely(task_can_end(w->pool->context, task_at(w->pool->context, w->task)))) return 0;
  if (area_add(w, 0) == 0) return 0;
  return work_cut(w) != 0 ? MP_CLOSED : MP_EMPTY;
}

int mp_work_take(struct mp_handle *pool, mp_deadline until, struct mp_work *out) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  for (unsigned nap = 0;;) {
    mp_ref ref = w32_get(&p->todo) != MP_NONE ? work_pop(pool) : MP_NONE;
    if (ref != MP_NONE) {
      work_open(pool, ref, out);
      if (w32_get(&p->todo) != MP_NONE) pool_call_worker(c, p);
      int r = work_make_room(out);
      if (r == MP_EMPTY) continue;
      return r;
    }
    if (pool_ended(p)) return MP_CLOSED;
    if (work_watch(c, p)) continue;
    uint32_t seq = mp_park_ticket(&p->work);
    mp_park_announce(&p->work);
    if (w32_get(&p->todo) != MP_NONE || pool_ended(p)) continue;
    int r = mp_park_wait(c, &p->work, seq, until, &nap);
    if (r != 0) return r;
  }
}

void mp_work_ready(struct mp_handle *pool) {
  w32_put(&pool->entry->held, HELD_WORKER);
  w32_put(&pool_of(pool)->unready, 0);
}

int mp_work_initializer_failed(struct mp_handle *pool, const struct mp_parcel *error) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_ref message, old;
  int r = mp_message_reserve(c, error, &message);
  if (r != 0) return r;
  mp_mutex_lock(c, &p->object.lock);
  old = w32_get(&p->initializer_error);
  if (old == MP_NONE) {
    mp_tx_set32(c, &p->initializer_error, message);
    mp_tx_publish(c, message);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &p->object.lock);
  if (old != MP_NONE) mp_message_unreserve(c, message);
  return 0;
}

/* ---- deaths ---- */

/* Why the worker is dead, as far as its task is concerned. */
static enum mp_item_kind death_kind(const struct task *t) {
  uint32_t flags = w32_get(&t->flags);
  if (flags & TASK_KILL_CANCEL) return MP_ITEM_CANCELLED;
  if (flags & TASK_KILL_TIMEOUT) return MP_ITEM_TIMEOUT;
  return flags & TASK_KILL_MEMORY ? MP_ITEM_MEMORY : MP_ITEM_LOST;
}

/* In a transaction: the task of a dead worker, whose settled items count. */
static void worker_died(struct mp_context *c, struct pool *p, mp_ref ref,
                        const struct mp_slot *dead) {
  struct task *t = task_at(c, ref);
  enum mp_item_kind kind = death_kind(t);
  uint32_t settled = task_settled(c, t), count = w32_get(&t->count);
  uint32_t ended = w32_get(&dead->ended);
  int pid = mp_slot_pid(dead);
  bool singled_out = kind == MP_ITEM_TIMEOUT || kind == MP_ITEM_MEMORY;
  /* not the next item, when the one that was meant just made it; nor one that did not run yet */
  bool hit = settled < count && task_can_end(c, t) &&
             (!singled_out || w32_get(&t->kill_item) == settled);
  bool again = (kind == MP_ITEM_LOST || kind == MP_ITEM_MEMORY) && w32_get(&t->retries_left) > 0;
  mp_tx_set64(c, &p->lost, w64_get(&p->lost) + 1);
  if (hit && again) {
    mp_tx_set32(c, &t->retries_left, w32_get(&t->retries_left) - 1);
  } else if (hit) {
    mp_item_end(c, t, kind, pid, ended == 0 ? INT32_MIN : mp_slot_ended_status(ended));
    mp_tx_set32(c, &t->failures, w32_get(&t->failures) + 1);
    mp_tx_set32(c, &t->retries_left, w32_get(&t->retries));
    settled++;
  }
  if (settled == count || kind == MP_ITEM_CANCELLED) {
    work_end(c, p, ref);
    return;
  }
  mp_task_stop(c, p, ref);
  mp_task_line_up(c, p, ref, true);
  mp_tx_set32(c, &t->worker, 0);
  mp_tx_set32(c, &t->flags, 0);
}

/* In a transaction: what the end of this participant means for the pool. */
static void participant_died(struct mp_context *c, struct pool *p, uint32_t held,
                             const struct mp_slot *dead) {
  uint32_t state = w32_get(&p->state);
  bool alive = state == MP_POOL_OPEN || state == MP_POOL_CLOSED;
  if (held >= HELD_TASKS)
    worker_died(c, p, held, dead);
  else if (held == HELD_CREATOR && alive)
    mp_tx_set32(c, &p->state, MP_POOL_TERMINATED);
  else if (held == HELD_SUPERVISOR && alive)
    mp_tx_set32(c, &p->state, MP_POOL_BROKEN);
}

void mp_pool_owner_died(struct mp_context *c, struct mp_object *o, struct mp_handle_entry *entry,
                        const struct mp_slot *dead) {
  struct pool *p = (struct pool *)(void *)o;
  uint32_t watcher = mp_slot_tag(&c->arena, (uint32_t)(dead - mp_slot_at(&c->arena, 0)));
  (void)w32_cas(&p->lookout, &watcher, 0); /* before `held` says that nothing is left to do */
  mp_mutex_lock(c, &o->lock);
  uint32_t held = w32_get(&entry->held);
  if (held != 0) {
    participant_died(c, p, held, dead);
    mp_tx_set32(c, &entry->held, 0);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &o->lock);
  mp_park_wake(c, &p->results, 1);
  mp_park_wake(c, &p->work, held >= HELD_TASKS ? 1 : UINT32_MAX);
}
