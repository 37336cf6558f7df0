/*
** Queue, the producers' side: fill the cells beyond the tail, then move the tail.
**
** Lock: put.lock. The commit is the store of `tail`; or, where blocks change owner or bytes are
** counted, the start of a planned change of all of that. The next segment is reserved without a
** lock and linked by a planned change of its own; whoever comes too late gives his back.
** Death: before the commit the queue is as it was: cells beyond the tail are nobody's, blocks and
** a segment stand in pending. Between commit and wake-up it costs a sleeper one capped nap.
*/
#include <errno.h>

#include "queue_layout.h"

#include "clock.h"

#define PUT_GROW (-1000) /* the segment is full, and a fresh one is needed */

/* private; one message on its way: a borrowed parcel for a cell, or a reserved block */
struct item {
  const mp_parcel *parcel;
  mp_ref block;
};

/* private; one put */
struct put {
  struct item item[BATCH_MAX];
  size_t count, done; /* how many are ready, and how many of these went in */
  mp_ref fresh;       /* a reserved segment, or MP_NONE */
  uint64_t head;      /* as it was when there was no room */
};

static size_t parcel_length(const mp_parcel *p) {
  return p->length + p->tail_length;
}

/* How many of n items fit below the bound of messages. */
static uint64_t room_for_items(struct queue *q, uint64_t n) {
  uint64_t max = w64_get(&q->max_items), tail = w64_get(&q->tail);
  uint64_t used = tail - w64_get(&q->put.head_seen);
  if (mp_likely(used + n <= max)) return n;
  uint64_t head = w64_get_acquire(&q->head);
  w64_put(&q->put.head_seen, head);
  used = tail - head;
  return n < max - used ? n : max - used;
}

/* How many of the n items fit below the bound of bytes, which there is; *bytes: what they have. The
** head is read first: getters move it last, so that if it moves no more, there is no more room. */
static uint64_t room_for_bytes(struct queue *q, const struct item *item, uint64_t n,
                               uint64_t *bytes) {
  w64_put(&q->put.head_seen, w64_get_acquire(&q->head));
  uint64_t used = w64_get(&q->put.bytes) - w64_get_acquire(&q->bytes_got), sum = 0, i = 0;
  for (; i < n; i++) {
    uint64_t more = parcel_length(item[i].parcel);
    bool alone = used + sum == 0 && w32_get(&q->flavour) == MP_QUEUE_PIPE;
    if (used + sum + more > w64_get(&q->max_bytes) && !alone) break;
    sum += more;
  }
  *bytes = sum;
  return i;
}

/* Makes a segment the last one. It may be that nothing comes of the put. */
static void segment_link(struct mp_context *c, struct queue *q, mp_ref fresh) {
  mp_tx_plan32(c, &segment_at(c, w32_get(&q->put.segment))->next, fresh);
  mp_tx_plan32(c, &q->put.segment, fresh);
  mp_tx_plan64(c, &q->put.base, w64_get(&q->tail));
  mp_tx_plan_publish(c, fresh);
  mp_tx_carry_out(c);
}

static void cell_fill(struct cell *cell, const struct item *item) {
  w32_put(&cell->block, item->block);
  if (item->block != MP_NONE) return;
  w32_put(&cell->length, (uint32_t)parcel_length(item->parcel));
  mp_parcel_copy(cell->bytes, item->parcel);
}

/* The commit of n items, whose cells are filled. */
static void put_commit(struct mp_context *c, struct queue *q, const struct item *item, uint64_t n,
                       uint64_t bytes) {
  uint64_t tail = w64_get(&q->tail) + n;
  for (uint64_t i = 0; i < n; i++)
    if (item[i].block != MP_NONE) mp_tx_plan_publish(c, item[i].block);
  if (w64_get(&q->max_bytes) != UINT64_MAX)
    mp_tx_plan64(c, &q->put.bytes, w64_get(&q->put.bytes) + bytes);
  if (c->log_count == 0) {
    w64_put(&q->tail, tail);
    return;
  }
  mp_tx_plan64(c, &q->tail, tail);
  mp_tx_carry_out(c);
}

/* One step: as many of the items as there is room for. */
static int put_locked(struct mp_context *c, struct queue *q, struct put *p) {
  const struct item *item = &p->item[p->done];
  uint64_t n = p->count - p->done, bytes = 0, tail = w64_get(&q->tail);
  if (mp_unlikely(w32_get(&q->closed) != QUEUE_OPEN)) return MP_CLOSED;
  n = room_for_items(q, n);
  if (w64_get(&q->max_bytes) != UINT64_MAX) n = room_for_bytes(q, item, n, &bytes);
  if (mp_unlikely(n == 0)) return MP_FULL;
  uint64_t index = tail - w64_get(&q->put.base);
  uint32_t cells = w32_get(&segment_at(c, w32_get(&q->put.segment))->cells);
  if (mp_unlikely(index == cells)) {
    if (p->fresh == MP_NONE) return PUT_GROW;
    segment_link(c, q, p->fresh);
    p->fresh = MP_NONE;
    index = 0;
    cells = w32_get(&segment_at(c, w32_get(&q->put.segment))->cells);
  }
  if (n > cells - index) {
    n = cells - index;
    if (bytes != 0) n = room_for_bytes(q, item, n, &bytes);
  }
  for (uint64_t i = 0; i < n; i++)
    cell_fill(cell_at(c, w32_get(&q->put.segment), index + i), &item[i]);
  put_commit(c, q, item, n, bytes);
  p->done += n;
  return 0;
}

/* How large the next segment is to be: twice the last one, if consumers are behind. */
static uint32_t segment_bytes(const struct mp_context *c, const struct queue *q) {
  uint32_t cells = w32_get(&segment_at(c, w32_get(&q->put.segment))->cells);
  uint32_t bytes = (cells + 1) * (uint32_t)sizeof(struct cell);
  uint64_t waiting = w64_get(&q->tail) - w64_get_acquire(&q->head);
  if (waiting * 4 > cells) bytes *= 2;
  return bytes < SEGMENT_LAST ? bytes : SEGMENT_LAST;
}

static int put_try(struct mp_context *c, struct queue *q, struct put *p) {
  size_t before = p->done;
  uint32_t grown = 0;
  mp_mutex_lock(c, &q->put.lock);
  int r = put_locked(c, q, p);
  if (mp_unlikely(r == MP_FULL)) p->head = w64_get(&q->put.head_seen);
  if (mp_unlikely(r == PUT_GROW)) grown = segment_bytes(c, q);
  mp_mutex_unlock(c, &q->put.lock);
  if (mp_likely(r == 0)) {
    mp_fence_after_swap();
    queue_wake(c, &q->not_empty, (uint32_t)(p->done - before));
  }
  if (mp_likely(r != PUT_GROW)) return r;
  r = mp_queue_segment(c, grown, &p->fresh);
  return r != 0 ? r : PUT_GROW;
}

/* There was no room: looks a little longer, dozes, sleeps; 0: look again. A doze ends when there
** is much room, so that neither side is woken for each message where the other is fast. */
static int put_wait(struct mp_context *c, struct queue *q, struct queue_wait *w) {
  if (w->nap > 0) return mp_queue_sleep(c, q, &q->not_full, w);
  if (mp_queue_look_on(c, w)) return 0;
  struct queue_wait doze = *w;
  doze.until = mp_clock_cap(w->until, DROWSY_NS);
  int r = mp_queue_sleep(c, q, &q->drowsy, &doze);
  w->nap = doze.nap;
  return r == MP_TIMEOUT && mp_clock_left(w->until) > 0 ? 0 : r; /* over before it began */
}

/* Who slept and cannot use the room, for want of memory, passes the wake-up on. */
static void put_pass_on(struct mp_context *c, struct queue *q, const struct queue_wait *w) {
  if (w->nap > 0) mp_park_wake(c, &q->not_full, 1);
}

/* Puts one step's worth, at least, of what is ready. */
static int put_step(struct mp_context *c, struct queue *q, struct put *p, mp_deadline until) {
  struct queue_wait w = queue_wait_put(c, q, until);
  for (bool last = until == MP_NOW;;) {
    int r = put_try(c, q, p);
    if (r == PUT_GROW) continue;
    if (w.since != 0 && r == 0) mp_queue_wait_over(&w);
    if (mp_unlikely(r < 0)) put_pass_on(c, q, &w);
    if (r != MP_FULL) return r;
    if (last) return until == MP_NOW ? MP_FULL : MP_TIMEOUT;
    w.seen = p->head;
    r = put_wait(c, q, &w);
    last = r == MP_TIMEOUT;
    if (r != 0 && !last) return r;
  }
}

static bool parcel_fits_cell(const mp_parcel *p) {
  return parcel_length(p) <= MP_LETTER_SMALL && p->ticket_count == 0;
}

/* Makes one parcel ready: reserves its block if it needs one. */
static int put_add(struct mp_context *c, const struct queue *q, struct put *p,
                   const mp_parcel *parcel) {
  struct item *item = &p->item[p->count];
  if (parcel_length(parcel) > w64_get(&q->max_bytes) && w32_get(&q->flavour) != MP_QUEUE_PIPE)
    return MP_TOO_BIG;
  item->parcel = parcel;
  item->block = MP_NONE;
  if (!parcel_fits_cell(parcel)) {
    if (w32_get_acquire(&q->closed) != QUEUE_OPEN) return MP_CLOSED;
    int r = mp_message_reserve(c, parcel, &item->block);
    if (r != 0) return r;
  }
  p->count++;
  return 0;
}

/* Gives back what did not go in. */
static void put_end(struct mp_context *c, struct put *p) {
  for (size_t i = p->done; i < p->count; i++)
    if (p->item[i].block != MP_NONE) mp_message_unreserve(c, p->item[i].block);
  if (mp_unlikely(p->fresh != MP_NONE)) mp_heap_unreserve(c, p->fresh);
}

/* Makes the next parcels ready, as many as one step may have. An error counts only if it is the
** first one's. */
static int put_fill(struct mp_context *c, const struct queue *q, struct put *p,
                    const mp_parcel *parcel, size_t n) {
  size_t blocks = 0;
  p->count = p->done = 0;
  while (p->count < n && p->count < BATCH_MAX && blocks < BATCH_BLOCKS) {
    const mp_parcel *next = &parcel[p->count];
    int r = put_add(c, q, p, next);
    if (r != 0) return p->count > 0 ? 0 : r;
    blocks += !parcel_fits_cell(next);
  }
  return 0;
}

int mp_queue_put(mp_queue *h, const mp_parcel *parcel, mp_deadline until) {
  struct mp_context *c = h->context;
  struct queue *q = queue_of(h);
  struct put p;
  p.count = p.done = 0;
  p.fresh = MP_NONE;
  int r = put_add(c, q, &p, parcel);
  if (mp_likely(r == 0)) r = put_step(c, q, &p, until);
  put_end(c, &p);
  return r;
}

int mp_queue_put_many(mp_queue *h, const mp_parcel *parcel, size_t n, mp_deadline until,
                      size_t *done) {
  struct mp_context *c = h->context;
  struct queue *q = queue_of(h);
  struct put p;
  int r = 0;
  *done = 0;
  p.fresh = MP_NONE;
  while (r == 0 && *done < n) {
    r = put_fill(c, q, &p, parcel + *done, n - *done);
    if (r == 0) r = put_step(c, q, &p, until);
    put_end(c, &p);
    p.fresh = MP_NONE;
    *done += p.done;
  }
  return r;
}
