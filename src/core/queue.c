/*
** Queue: a chain of segments of cells, and two tickets that only grow.
**
** Structure: message number t stands in a cell of its own, used once: the producers' side knows
** the segment of `tail`, the next ticket to give, the consumers' side that of `head`, the next to
** take. A message of up to 56 bytes without tickets stands in its cell, others in a block that
** the cell names. Exhausted segments are freed by the consumer that leaves them behind.
** Locks: put.lock and get.lock, of which a participant holds one at a time, so that one producer
** and one consumer never wait for each other. Each side reads the other's ticket without its
** lock. Therefore a ticket must never be seen and then taken back: it changes by one store that
** is the commit, or in a change that is planned and carried out (tx.h), never under an undo log.
** Invariant: head <= tail <= head + max_items; cells [head, tail) hold whole messages, each of
** whose blocks nobody else owns; the chain from get.segment ends with put.segment. A joinable
** queue: what participants hold, less what was borrowed, is head - finished - lost.
** Death: a producer's before its commit leaves its blocks in pending and the cells beyond the tail
** as rubbish that the next producer writes over; a consumer's after its commit leaves the message
** in doomed. A participant's handle entry counts what it took and did not finish; when it dies
** that is added to `lost`. Destruction goes from cell to cell with `head` as its cursor.
*/
#include <errno.h>

#include "queue_layout.h"

/* ---- birth ---- */

int mp_queue_segment(struct mp_context *c, uint32_t bytes, mp_ref *out) {
  mp_ref ref;
  int r = mp_heap_reserve(c, bytes, MP_BLOCK_PLAIN, &ref);
  if (r != 0) return r;
  w32_put(&segment_at(c, ref)->cells, segment_cells(bytes));
  w32_put(&segment_at(c, ref)->next, MP_NONE);
  *out = ref;
  return 0;
}

static void queue_fill(struct queue *q, const mp_queue_options *o, mp_ref segment) {
  w64_put(&q->max_items, o->max_items != 0 ? o->max_items : UINT64_MAX);
  w64_put(&q->max_bytes, o->max_bytes != 0 ? o->max_bytes : UINT64_MAX);
  w32_put(&q->flavour, o->flavour);
  w32_put(&q->put.segment, segment);
  w32_put(&q->get.segment, segment);
}

int mp_queue_new(struct mp_context *c, const mp_queue_options *o, mp_queue **out) {
  mp_ref segment;
  struct mp_handle *h;
  if (o->flavour > MP_QUEUE_PIPE) return -EINVAL;
  int r = mp_queue_segment(c, SEGMENT_FIRST, &segment);
  if (r != 0) return r;
  r = mp_object_new(c, MP_KIND_QUEUE, sizeof(struct queue), &h);
  if (r != 0) {
    mp_heap_unreserve(c, segment);
    return r;
  }
  queue_fill(queue_of(h), o, segment);
  mp_object_publish(h, &segment, 1);
  *out = h;
  return 0;
}

int mp_queue_open(struct mp_context *c, mp_ticket t, mp_queue **out) {
  struct mp_handle *h;
  int r = mp_handle_open(c, t, &h);
  if (r != 0) return r;
  if (w32_get(&h->object->kind) != MP_KIND_QUEUE) {
    mp_handle_close(h);
    return MP_FOREIGN;
  }
  *out = h;
  return 0;
}

mp_queue *mp_queue_close(mp_queue *q) {
  return mp_handle_close(q);
}

/* ---- shutdown, and how it is ---- */

void mp_queue_shutdown(mp_queue *h, int immediate) {
  struct mp_context *c = h->context;
  struct queue *q = queue_of(h);
  mp_mutex_lock(c, &q->put.lock);
  if (immediate)
    w32_put(&q->closed, QUEUE_EMPTIED);
  else if (w32_get(&q->closed) == QUEUE_OPEN)
    w32_put(&q->closed, QUEUE_SHUT);
  mp_mutex_unlock(c, &q->put.lock);
  if (immediate) mp_queue_drain(c, q);
  mp_park_wake(c, &q->not_empty, UINT32_MAX);
  mp_park_wake(c, &q->not_full, UINT32_MAX);
  mp_park_wake(c, &q->drowsy, UINT32_MAX);
  mp_park_wake(c, &q->all_done, UINT32_MAX);
}

void mp_queue_look(const mp_queue *h, mp_queue_state *out) {
  const struct queue *q = queue_of(h);
  uint64_t done = w64_get_acquire(&q->get.finished) + w64_get_acquire(&q->get.lost);
  uint64_t head = w64_get_acquire(&q->head), tail = w64_get_acquire(&q->tail);
  uint32_t closed = w32_get_acquire(&q->closed);
  out->size = closed == QUEUE_EMPTIED ? 0 : tail - head;
  out->max_items = w64_get(&q->max_items) != UINT64_MAX ? w64_get(&q->max_items) : 0;
  out->max_bytes = w64_get(&q->max_bytes) != UINT64_MAX ? w64_get(&q->max_bytes) : 0;
  out->flavour = w32_get(&q->flavour);
  out->unfinished = out->flavour == MP_QUEUE_JOINABLE ? tail - done : 0;
  out->closed = closed != QUEUE_OPEN;
}

/* ---- the end ---- */

/* Frees the first segment of the chain. */
static void queue_free_segment(struct mp_context *c, struct queue *q) {
  mp_mutex_lock(c, &q->get.lock);
  mp_ref ref = w32_get(&q->get.segment);
  const struct segment *s = segment_at(c, ref);
  mp_tx_plan32(c, &q->get.segment, w32_get(&s->next));
  mp_tx_plan64(c, &q->get.base, w64_get(&q->get.base) + w32_get(&s->cells));
  mp_tx_plan_doom(c, ref, MP_BLOCK_PLAIN, false);
  mp_tx_carry_out(c);
  mp_mutex_unlock(c, &q->get.lock);
  mp_heap_free_doomed(c);
}

static void queue_destroy(struct mp_context *c, struct mp_object *o) {
  struct queue *q = (struct queue *)(void *)o;
  mp_queue_drain(c, q);
  while (w32_get(&q->get.segment) != MP_NONE) queue_free_segment(c, q);
}

/* ---- the checker, written apart from the operations ---- */

static const char *check_counts(const struct queue *q, const struct mp_walk *w) {
  uint64_t head = w64_get(&q->head), tail = w64_get(&q->tail);
  if (head > tail) return "queue: the head has passed the tail";
  if (tail - head > w64_get(&q->max_items)) return "queue: more messages than it may hold";
  if (w64_get(&q->put.head_seen) > head) return "queue: a producer has seen a head to come";
  if (w64_get(&q->get.tail_seen) > tail) return "queue: a consumer has seen a tail to come";
  if (w32_get(&q->flavour) > MP_QUEUE_PIPE) return "queue: of no flavour";
  if (w32_get(&q->closed) > QUEUE_EMPTIED) return "queue: neither open nor shut";
  uint64_t done = w64_get(&q->get.finished) + w64_get(&q->get.lost);
  uint64_t held = mp_walk_held(w, &q->object);
  if (w32_get(&q->flavour) != MP_QUEUE_JOINABLE) return held == 0 ? NULL : "queue: something held";
  if (done > tail) return "queue: more messages are done with than were put";
  if (held - w64_get(&q->get.borrowed) != head - done)
    return "queue: what participants hold is not what was taken and not finished";
  return NULL;
}

/* n messages from cell `index` on; *bytes counts theirs. */
struct check_run {
  mp_ref segment;
  uint64_t index, n;
};
static const char *check_cells(struct mp_context *c, struct check_run run, uint64_t *bytes,
                               struct mp_walk *w) {
  for (; run.n > 0; run.n--, run.index++) {
    const struct cell *cell = cell_at(c, run.segment, run.index);
    mp_ref block = w32_get(&cell->block);
    const char *wrong = block == MP_NONE ? NULL : mp_walk_message(w, block);
    if (wrong != NULL) return wrong;
    if (block == MP_NONE && w32_get(&cell->length) > MP_LETTER_SMALL)
      return "queue: a message is larger than its cell";
    *bytes += cell_weight(c, cell);
  }
  return NULL;
}

static const char *check_chain(struct mp_context *c, struct queue *q, struct mp_walk *w) {
  uint64_t base = w64_get(&q->get.base), t = w64_get(&q->head), tail = w64_get(&q->tail);
  uint64_t bytes = 0;
  mp_ref last = MP_NONE;
  if (t < base) return "queue: the head's segment begins behind it";
  for (mp_ref ref = w32_get(&q->get.segment); ref != MP_NONE;) {
    const char *wrong = mp_walk_block(w, ref);
    if (wrong != NULL) return wrong;
    const struct segment *s = segment_at(c, ref);
    uint64_t end = base + w32_get(&s->cells), upto = tail < end ? tail : end;
    if (t < upto) wrong = check_cells(c, (struct check_run){ref, t - base, upto - t}, &bytes, w);
    if (wrong != NULL) return wrong;
    if (t < upto) t = upto;
    last = ref;
    if (ref == w32_get(&q->put.segment) && w64_get(&q->put.base) != base)
      return "queue: the tail's segment is miscounted";
    base = end;
    ref = w32_get(&s->next);
  }
  if (t != tail) return "queue: messages without cells";
  if (last != MP_NONE && last != w32_get(&q->put.segment))
    return "queue: the tail's segment is not the last one";
  if (w64_get(&q->max_bytes) != UINT64_MAX &&
      bytes != w64_get(&q->put.bytes) - w64_get(&q->bytes_got))
    return "queue: its bytes are miscounted";
  return NULL;
}

const char *mp_queue_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct queue *q = (struct queue *)(void *)o;
  const char *wrong = mp_mutex_check(c, &q->put.lock);
  if (wrong == NULL) wrong = mp_mutex_check(c, &q->get.lock);
  if (wrong == NULL) wrong = check_counts(q, w);
  return wrong != NULL ? wrong : check_chain(c, q, w);
}

const struct mp_kind mp_queue_kind = {"Queue", mp_queue_owner_died, queue_destroy, mp_queue_check};

/* ---- bells ---- */

static bool queue_ready(struct mp_context *c, struct mp_object *o) {
  const struct queue *q = (const struct queue *)(const void *)o;
  uint64_t head = w64_get_acquire(&q->head);
  (void)c;
  return w32_get_acquire(&q->closed) != QUEUE_OPEN || w64_get_acquire(&q->tail) != head;
}

static struct mp_park *queue_park(struct mp_context *c, struct mp_object *o) {
  (void)c;
  return &((struct queue *)(void *)o)->not_empty;
}

const struct mp_waitable mp_queue_waitable = {queue_ready, queue_park};
