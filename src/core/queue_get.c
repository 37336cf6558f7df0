/*
** Queue, the consumers' side: copy cells out, move the head, read what has a block at leisure.
**
** Lock: get.lock. The commit is the store of `head`; or, where blocks change owner or something
** is counted, the start of a planned change of all of that. A message with a block is in the
** slot's doomed list from the commit on, and kept there until it has been read.
** Death: before the commit nothing was taken; after it the message is the dead one's, is freed
** with what it owned, and counts as lost where messages are counted.
*/
#include "queue_layout.h"

#include <errno.h>

#define DRAIN_BLOCKS 2u

/* private; one get. Without letters the messages are thrown away. */
struct take {
  mp_letter *letter;
  struct mp_handle_entry *entry; /* of who takes, for joinable queues */
  uint64_t max, got;
  uint32_t blocks; /* how many may come with blocks */
  uint64_t left;   /* messages that were left, at least */
  bool limited;    /* takes no message of more than `limit` bytes */
  size_t limit;
};

static void letter_set_small(mp_letter *l, const struct cell *cell) {
  memcpy(l->small, cell->bytes, sizeof l->small);
  l->parcel = (mp_parcel){.bytes = l->small, .length = w32_get(&cell->length)};
  l->block = MP_NONE;
}

static void letter_set_block(struct mp_context *c, mp_letter *l, mp_ref block) {
  l->parcel = mp_message_view(c, block);
  l->block = block;
}

/* How many messages are there; looks at the tail only when none is known. */
static uint64_t get_available(struct queue *q) {
  uint64_t head = w64_get(&q->head), tail = w64_get(&q->get.tail_seen);
  if (head != tail) return tail - head;
  tail = w64_get_acquire(&q->tail);
  if (tail != head) w64_put(&q->get.tail_seen, tail);
  return tail - head;
}

/* The head has left its segment behind, and the message is in the next one. */
static void segment_leave(struct mp_context *c, struct queue *q) {
  mp_ref old = w32_get(&q->get.segment);
  mp_tx_plan32(c, &q->get.segment, w32_get_acquire(&segment_at(c, old)->next));
  mp_tx_plan64(c, &q->get.base, w64_get(&q->head));
  mp_tx_plan_doom(c, old, MP_BLOCK_PLAIN, false);
  mp_tx_carry_out(c);
}

/* Copies cells out from `index` on, n at most, and plans what becomes of their blocks. */
static void take_cells(struct mp_context *c, struct queue *q, struct take *t, uint64_t index,
                       uint64_t n) {
  mp_ref segment = w32_get(&q->get.segment);
  for (; t->got < n; t->got++) {
    const struct cell *cell = cell_at(c, segment, index + t->got);
    mp_ref block = w32_get(&cell->block);
    if (block != MP_NONE && t->blocks == 0) break;
    if (block != MP_NONE) {
      t->blocks--;
      mp_tx_plan_doom(c, block, MP_BLOCK_MESSAGE, t->letter != NULL);
    }
    if (t->letter == NULL) continue;
    if (block == MP_NONE)
      letter_set_small(&t->letter[t->got], cell);
    else
      letter_set_block(c, &t->letter[t->got], block);
  }
}

/* The bytes of what was taken, while the cells are still ours to read. */
static uint64_t take_weight(struct mp_context *c, struct queue *q, const struct take *t,
                            uint64_t index) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < t->got; i++)
    sum += cell_weight(c, cell_at(c, w32_get(&q->get.segment), index + i));
  return sum;
}

/* Messages thrown away are finished, unless somebody said so before they were taken. */
static void plan_finished(struct mp_context *c, struct queue *q, uint64_t got) {
  uint64_t finished = w64_get(&q->get.finished);
  uint64_t unfinished = w64_get_acquire(&q->tail) - finished - w64_get(&q->get.lost);
  uint64_t more = got < unfinished ? got : unfinished;
  mp_tx_plan64(c, &q->get.finished, finished + more);
  mp_tx_plan64(c, &q->get.borrowed, w64_get(&q->get.borrowed) - (got - more));
}

static void plan_counts(struct mp_context *c, struct queue *q, const struct take *t,
                        uint64_t index) {
  if (w64_get(&q->max_bytes) != UINT64_MAX)
    mp_tx_plan64(c, &q->bytes_got, w64_get(&q->bytes_got) + take_weight(c, q, t, index));
  if (w32_get(&q->flavour) != MP_QUEUE_JOINABLE) return;
  if (t->entry != NULL)
    mp_tx_plan32(c, &t->entry->held, w32_get(&t->entry->held) + (uint32_t)t->got);
  else
    plan_finished(c, q, t->got);
}

/* The commit. The head is planned before what is counted, so that it moves after that. */
static void take_commit(struct mp_context *c, struct queue *q, const struct take *t,
                        uint64_t index) {
  uint64_t head = w64_get(&q->head) + t->got;
  bool counts = w32_get(&q->flavour) == MP_QUEUE_JOINABLE || w64_get(&q->max_bytes) != UINT64_MAX;
  if (c->log_count == 0 && !counts) {
    w64_put(&q->head, head);
    return;
  }
  mp_tx_plan64(c, &q->head, head);
  if (counts) plan_counts(c, q, t, index);
  mp_tx_carry_out(c);
}

/* Is the cell's message too long for who takes it? */
static bool take_refuses(struct mp_context *c, const struct take *t, const struct cell *cell) {
  return t->limited && cell_weight(c, cell) > t->limit;
}

/* Takes what there is. 0, MP_EMPTY, MP_TOO_BIG, or MP_LIMIT: no more blocks may be read at once. */
static int take_locked(struct mp_context *c, struct queue *q, struct take *t) {
  uint64_t n = get_available(q);
  if (n == 0) return MP_EMPTY;
  uint64_t head = w64_get(&q->head), index = head - w64_get(&q->get.base);
  uint32_t cells = w32_get(&segment_at(c, w32_get(&q->get.segment))->cells);
  if (mp_unlikely(index == cells)) {
    segment_leave(c, q);
    index = 0;
    cells = w32_get(&segment_at(c, w32_get(&q->get.segment))->cells);
  }
  if (take_refuses(c, t, cell_at(c, w32_get(&q->get.segment), index))) return MP_TOO_BIG;
  t->left = n;
  if (n > t->max) n = t->max;
  if (n > cells - index) n = cells - index;
  take_cells(c, q, t, index, n);
  if (t->got == 0) return MP_LIMIT;
  t->left -= t->got;
  take_commit(c, q, t, index);
  return 0;
}

/* n messages have gone: wakes as many producers who sleep, or, where bytes are counted, all of
** them: a long message makes room for several. Those who doze only when a quarter is free, by any
** bound, or nothing is left. */
static void wake_producers(struct mp_context *c, struct queue *q, const struct take *t) {
  bool bytes = w64_get(&q->max_bytes) != UINT64_MAX;
  queue_wake(c, &q->not_full, bytes ? UINT32_MAX : (uint32_t)t->got);
  if (mp_likely(!mp_park_awaited(&q->drowsy))) return;
  uint64_t max = w64_get(&q->max_items);
  bool much = t->left == 0 || (max != UINT64_MAX && t->left <= max - max / 4) || bytes;
  if (much) queue_wake(c, &q->drowsy, UINT32_MAX);
}

static int get_try(struct mp_context *c, struct queue *q, struct take *t) {
  uint32_t closed = w32_get_acquire(&q->closed);
  if (mp_unlikely(closed == QUEUE_EMPTIED)) {
    mp_queue_drain(c, q); /* should whoever shut it down have died over it */
    return MP_CLOSED;
  }
  uint32_t room = mp_heap_doom_room(c);
  t->blocks = room > MP_OWNED_MAX - BATCH_BLOCKS ? room - (MP_OWNED_MAX - BATCH_BLOCKS) : 0;
  mp_mutex_lock(c, &q->get.lock);
  int r = take_locked(c, q, t);
  mp_mutex_unlock(c, &q->get.lock);
  mp_heap_free_doomed(c);
  if (mp_likely(r == 0)) {
    mp_fence_after_swap();
    wake_producers(c, q, t);
  }
  return r == MP_EMPTY && closed != QUEUE_OPEN ? MP_CLOSED : r;
}

static int get_wait(struct mp_context *c, struct queue *q, struct queue_wait *w) {
  w->seen = w64_get_acquire(&q->head);
  if (w64_get_acquire(w->word) != w->seen) return 0;
  if (w->nap == 0 && mp_queue_look_on(c, w)) return 0;
  return mp_queue_sleep(c, q, &q->not_empty, w);
}

/* Who slept and leaves a message there passes the wake-up on: it may have been meant for one who
** would take it. */
static void get_pass_on(struct mp_context *c, struct queue *q, const struct queue_wait *w) {
  if (w->nap > 0) mp_park_wake(c, &q->not_empty, 1);
}

static int get_step(struct mp_context *c, struct queue *q, struct take *t, mp_deadline until) {
  struct queue_wait w = queue_wait_get(c, q, until);
  for (bool last = until == MP_NOW;;) {
    int r = get_try(c, q, t);
    if (w.since != 0 && r == 0) mp_queue_wait_over(&w);
    if (mp_unlikely(r == MP_TOO_BIG || r == MP_LIMIT)) get_pass_on(c, q, &w);
    if (mp_likely(r != MP_EMPTY)) return r;
    if (last) return until == MP_NOW ? MP_EMPTY : MP_TIMEOUT;
    r = get_wait(c, q, &w);
    last = r == MP_TIMEOUT;
    if (r != 0 && !last) return r;
  }
}

int mp_queue_get(mp_queue *h, mp_deadline until, mp_letter *out) {
  struct take t = {.letter = out, .entry = h->entry, .max = 1};
  int r = get_step(h->context, queue_of(h), &t, until);
  mp_bell_follow(h);
  return r;
}

int mp_queue_get_within(mp_queue *h, size_t max, mp_deadline until, mp_letter *out) {
  struct take t = {.letter = out, .entry = h->entry, .max = 1, .limit = max,
                   .limited = max != SIZE_MAX};
  return get_step(h->context, queue_of(h), &t, until);
}

int mp_queue_poll(mp_queue *h, mp_deadline until) {
  struct queue *q = queue_of(h);
  struct queue_wait w = queue_wait_get(h->context, q, until);
  for (bool last = until == MP_NOW;;) {
    uint64_t head = w64_get_acquire(&q->head);
    if (w32_get_acquire(&q->closed) != QUEUE_OPEN || w64_get_acquire(&q->tail) != head) {
      get_pass_on(h->context, q, &w);
      return 0;
    }
    if (last) return MP_TIMEOUT;
    int r = get_wait(h->context, q, &w);
    last = r == MP_TIMEOUT;
    if (r != 0 && !last) return r;
  }
}

int mp_queue_get_many(mp_queue *h, size_t n, mp_deadline until, mp_letter *out, size_t *count) {
  struct take t = {.letter = out, .entry = h->entry, .max = n < BATCH_MAX ? n : BATCH_MAX};
  if (n == 0) return -EINVAL;
  int r = get_step(h->context, queue_of(h), &t, until);
  if (r == 0) *count = t.got;
  mp_bell_follow(h);
  return r;
}

void mp_letter_free(mp_context *c, mp_letter *l) {
  if (l->block != MP_NONE) {
    mp_heap_free_kept(c, l->block);
    mp_object_reap(c);
  }
  l->block = MP_NONE;
  l->parcel = (mp_parcel){0};
}

void mp_queue_drain(struct mp_context *c, struct queue *q) {
  int r;
  do {
    struct take t = {.max = BATCH_MAX, .blocks = DRAIN_BLOCKS};
    mp_mutex_lock(c, &q->get.lock);
    r = w32_get(&q->get.segment) == MP_NONE ? MP_EMPTY : take_locked(c, q, &t);
    mp_mutex_unlock(c, &q->get.lock);
    mp_heap_free_doomed(c);
  } while (r == 0);
  MP_ASSERT(r == MP_EMPTY);
  mp_park_wake(c, &q->all_done, UINT32_MAX);
}
