/*
** Tasks: the block that a job travels in, with room for its results, and the lists it stands in.
**
** Structure: a block {struct task, parcel's bytes, first area}; further areas and long items are
** blocks of their own. A task stands in exactly one of the pool's lists (in line, running, over)
** or is the one that the creator reads.
** Lock: the pool's for lists, state, areas' links; area.used is its worker's, one store an item.
** Invariant: settled + items of the last area = items that have ended; the items before are never
** run again. The last area has ITEM_ENDED bytes to spare while an item may be running.
** Death: a task's owner is the pool's list, or pending and doomed entries as MP_BLOCK_TASK, whose
** release takes areas, items' messages and the parcel's message away one by one.
*/
#include <errno.h>

#include "pool_layout.h"

#define AREA_MOST 16384u /* bytes of the first area at most */
#define AREA_LEAST 48u

/* ---- lists ---- */

void mp_task_line_up(struct mp_context *c, struct pool *p, mp_ref task, bool in_front) {
  struct task *t = task_at(c, task);
  mp_ref next = in_front ? w32_get(&p->todo) : MP_NONE;
  mp_ref prev = in_front ? MP_NONE : w32_get(&p->todo_last);
  mp_tx_set32(c, &t->next, next);
  mp_tx_set32(c, &t->prev, prev);
  mp_tx_set32(c, prev == MP_NONE ? &p->todo : &task_at(c, prev)->next, task);
  mp_tx_set32(c, next == MP_NONE ? &p->todo_last : &task_at(c, next)->prev, task);
  mp_tx_set32(c, &t->state, TASK_WAITING);
  mp_tx_set32(c, &p->waiting_count, w32_get(&p->waiting_count) + 1);
}

void mp_task_leave_line(struct mp_context *c, struct pool *p, mp_ref task) {
  const struct task *t = task_at(c, task);
  mp_ref next = w32_get(&t->next), prev = w32_get(&t->prev);
  mp_tx_set32(c, prev == MP_NONE ? &p->todo : &task_at(c, prev)->next, next);
  mp_tx_set32(c, next == MP_NONE ? &p->todo_last : &task_at(c, next)->prev, prev);
  mp_tx_set32(c, &p->waiting_count, w32_get(&p->waiting_count) - 1);
}

void mp_task_start(struct mp_context *c, struct pool *p, mp_ref task) {
  struct task *t = task_at(c, task);
  mp_ref first = w32_get(&p->running);
  mp_tx_set32(c, &t->next, first);
  mp_tx_set32(c, &t->prev, MP_NONE);
  if (first != MP_NONE) mp_tx_set32(c, &task_at(c, first)->prev, task);
  mp_tx_set32(c, &p->running, task);
  mp_tx_set32(c, &t->state, TASK_RUNNING);
  mp_tx_set32(c, &p->running_count, w32_get(&p->running_count) + 1);
}

void mp_task_stop(struct mp_context *c, struct pool *p, mp_ref task) {
  const struct task *t = task_at(c, task);
  mp_ref next = w32_get(&t->next), prev = w32_get(&t->prev);
  mp_tx_set32(c, prev == MP_NONE ? &p->running : &task_at(c, prev)->next, next);
  if (next != MP_NONE) mp_tx_set32(c, &task_at(c, next)->prev, prev);
  mp_tx_set32(c, &p->running_count, w32_get(&p->running_count) - 1);
}

void mp_task_over(struct mp_context *c, struct pool *p, mp_ref task) {
  struct task *t = task_at(c, task);
  mp_ref last = w32_get(&p->over_last);
  mp_tx_set32(c, &t->next, MP_NONE);
  mp_tx_set32(c, last == MP_NONE ? &p->over : &task_at(c, last)->next, task);
  mp_tx_set32(c, &p->over_last, task);
  mp_tx_set32(c, &t->state, TASK_OVER);
  mp_tx_set64(c, &p->done, w64_get(&p->done) + 1);
}

/* ---- a task's memory ---- */

static uint32_t first_room(const struct mp_task_options *o) {
  uint64_t room = (uint64_t)o->count * 16 + ITEM_ENDED;
  if (room < AREA_LEAST) room = AREA_LEAST;
  return room < AREA_MOST ? (uint32_t)room : AREA_MOST;
}

static void task_fill(struct mp_context *c, mp_ref ref, const struct mp_task_options *o,
                      uint32_t bytes) {
  struct task *t = task_at(c, ref);
  mp_ref area = ref + (mp_ref)(mp_round_up(sizeof *t + bytes, MP_GRANULE) / MP_GRANULE);
  memset(t, 0, sizeof *t);
  w64_put(&t->timeout, (uint64_t)o->timeout);
  w32_put(&t->count, o->count);
  w32_put(&t->retries, o->retries);
  w32_put(&t->retries_left, o->retries);
  w32_put(&t->bytes, bytes);
  w32_put(&t->area, area);
  w32_put(&t->last_area, area);
  memset(area_at(c, area), 0, sizeof(struct item_area));
  w32_put(&area_at(c, area)->room, first_room(o));
}

int mp_task_reserve(struct mp_context *c, const struct mp_parcel *parcel,
                    const struct mp_task_options *o, mp_ref *out) {
  size_t length = parcel->length + parcel->tail_length;
  bool apart = parcel->ticket_count != 0 || length > UINT32_MAX / 2;
  uint32_t bytes = apart ? 0 : (uint32_t)length;
  mp_ref ref, message = MP_NONE;
  int r = apart ? mp_message_reserve(c, parcel, &message) : 0;
  if (r != 0) return r;
  r = mp_heap_reserve(c, mp_round_up(sizeof(struct task) + bytes, MP_GRANULE) +
                             sizeof(struct item_area) + first_room(o), MP_BLOCK_PLAIN, &ref);
  if (r != 0) {
    if (apart) mp_message_unreserve(c, message);
    return r;
  }
  task_fill(c, ref, o, bytes);
  w32_put(&task_at(c, ref)->message, message);
  if (!apart) mp_parcel_copy(task_at(c, ref) + 1, parcel);
  *out = ref;
  return 0;
}

void mp_task_unreserve(struct mp_context *c, mp_ref task) {
  mp_ref message = w32_get(&task_at(c, task)->message);
  mp_heap_unreserve(c, task);
  if (message != MP_NONE) mp_message_unreserve(c, message);
}

struct mp_parcel mp_task_parcel(const struct mp_context *c, mp_ref task) {
  const struct task *t = task_at(c, task);
  if (w32_get(&t->message) != MP_NONE) return mp_message_view(c, w32_get(&t->message));
  return (struct mp_parcel){.bytes = t + 1, .length = w32_get(&t->bytes)};
}

/* ---- items ---- */

static uint32_t padded(uint32_t length) {
  return (length + 3u) & ~3u;
}

unsigned char *mp_item_begin(struct item_area *a, enum mp_item_kind kind, bool by_reference,
                             uint32_t length, uint64_t *used) {
  uint32_t at = area_bytes(a), head = (uint32_t)kind | length << 4;
  if (by_reference) head |= ITEM_BY_REFERENCE;
  unsigned char *data = area_data(a) + at;
  memcpy(data, &head, ITEM_HEAD);
  *used = (uint64_t)(area_items(a) + 1) << 32 | (at + ITEM_HEAD + padded(length));
  return data + ITEM_HEAD;
}

void mp_item_end(struct mp_context *c, struct task *t, enum mp_item_kind kind, int32_t pid,
                 int32_t status) {
  struct item_area *a = area_at(c, w32_get(&t->last_area));
  uint64_t used;
  MP_ASSERT(task_can_end(c, t));
  unsigned char *data = mp_item_begin(a, kind, false, ITEM_ENDED - ITEM_HEAD, &used);
  memcpy(data, &pid, sizeof pid);
  memcpy(data + sizeof pid, &status, sizeof status);
  mp_tx_set64(c, &a->used, used);
}

void mp_task_condemn(struct mp_context *c, struct task *t, uint32_t why) {
  mp_tx_set32(c, &t->flags, why);
  mp_tx_set32(c, &t->kill_item, task_settled(c, t));
}

/* The word of the item at *at that names its message, or NULL; *at moves to the next item. */
static mp_w32 *item_message(struct item_area *a, uint32_t *at) {
  uint32_t head;
  unsigned char *data = area_data(a) + *at;
  memcpy(&head, data, ITEM_HEAD);
  *at += ITEM_HEAD + padded(head >> 4);
  return head & ITEM_BY_REFERENCE ? (mp_w32 *)(void *)(data + ITEM_HEAD) : NULL;
}

/* ---- taking a task apart ---- */

static void task_drop(struct mp_context *c, struct task *t, mp_w32 *link, mp_ref instead,
                      enum mp_block_kind kind) {
  mp_ref block = w32_get(link);
  if (block == MP_NONE) return;
  mp_mutex_lock(c, &t->lock);
  mp_tx_set32(c, link, instead);
  mp_tx_doom(c, block, kind);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &t->lock);
  mp_heap_free_doomed(c);
}

static void area_drop_messages(struct mp_context *c, struct task *t, struct item_area *a) {
  for (uint32_t at = 0; at < area_bytes(a);) {
    mp_w32 *message = item_message(a, &at);
    if (message != NULL) task_drop(c, t, message, MP_NONE, MP_BLOCK_MESSAGE);
  }
}

void mp_task_release(struct mp_context *c, mp_w64 *entry, mp_ref block) {
  struct task *t = task_at(c, block);
  struct item_area *first = area_at(c, w32_get(&t->area));
  area_drop_messages(c, t, first);
  while (w32_get(&first->next) != MP_NONE) {
    struct item_area *a = area_at(c, w32_get(&first->next));
    area_drop_messages(c, t, a);
    task_drop(c, t, &first->next, w32_get(&a->next), MP_BLOCK_PLAIN);
  }
  task_drop(c, t, &t->message, MP_NONE, MP_BLOCK_MESSAGE);
  w64_put(entry, block | (uint64_t)MP_BLOCK_PLAIN << 32);
}

/* ---- check ---- */

static const char *area_check(struct mp_context *c, struct item_area *a, struct mp_walk *w) {
  uint32_t items = 0;
  const char *wrong = NULL;
  (void)c;
  if (area_bytes(a) > w32_get(&a->room)) return "pool: an area is overfull";
  for (uint32_t at = 0; wrong == NULL && at < area_bytes(a); items++) {
    const mp_w32 *message = item_message(a, &at);
    if (message != NULL && w32_get(message) != MP_NONE)
      wrong = mp_walk_message(w, w32_get(message));
  }
  if (wrong == NULL && items != area_items(a)) wrong = "pool: an area's items are miscounted";
  return wrong;
}

const char *mp_task_check(struct mp_context *c, mp_ref task, struct mp_walk *w) {
  const struct task *t = task_at(c, task);
  const char *wrong = mp_walk_block(w, task);
  if (wrong == NULL && w32_get(&t->message) != MP_NONE)
    wrong = mp_walk_message(w, w32_get(&t->message));
  for (mp_ref ref = w32_get(&t->area); wrong == NULL && ref != MP_NONE;) {
    struct item_area *a = area_at(c, ref);
    if (ref != w32_get(&t->area)) wrong = mp_walk_block(w, ref);
    if (wrong == NULL) wrong = area_check(c, a, w);
    ref = w32_get(&a->next);
  }
  if (wrong == NULL && task_settled(c, t) > w32_get(&t->count))
    wrong = "pool: a task has more results than items";
  return wrong;
}
