/*
** Queue: waiting, and the counting of messages that are done with.
**
** Lock: get.lock for finished, lost, borrowed and every handle entry's `held`, which change
** together in planned changes. Invariant: a joinable queue is done when finished + lost = tail.
** Both sums only grow and neither passes the tail, so reading them first and the tail last, without
** a lock, finds equality only where it was true. A task_done of somebody who holds no message is
** charged to the next participant that dies holding one (borrowed).
** Before it sleeps, a participant reads on for a while: twice as long as its waits took of late, if
** that is about the cost of a wake-up. So two that answer each other promptly, having been put to
** sleep once, find back to answering without sleep; whoever waits long hardly burns anything. Where
** the processors are busy, looking on only keeps the other from running: after each time in vain it
** is left out twice as often.
** Death: a participant's that holds messages adds them to `lost`; its cleaner's is repeated.
*/
#include "queue_layout.h"

#include "clock.h"

#define LOOK_LEAST INT64_C(4000) /* ns; about one futex wake */
#define LOOK_MOST INT64_C(100000)
#define WAIT_LONG INT64_C(400000) /* a longer wait says no more than this */
#define BACKOFF_MOST 1023u

static bool look(const struct queue_wait *w, int64_t now, int64_t length) {
  for (int64_t end = now + length; now < end; now = mp_clock_now()) {
    for (int i = 0; i < 16; i++) {
      if (w64_get_acquire(w->word) != w->seen) return true;
      mp_cpu_relax();
    }
  }
  return false;
}

/* May we look on longer than a wake-up costs? How long, or 0. */
static int64_t look_length(struct mp_patience *p) {
  int64_t length = p->usual * INT64_C(2);
  if (length <= LOOK_LEAST || length > LOOK_MOST) return 0;
  if (p->skip == 0) return length;
  p->skip--;
  return 0;
}

bool mp_queue_look_on(struct mp_context *c, struct queue_wait *w) {
  struct mp_patience *p = w->patience;
  int64_t now = mp_clock_now();
  if (w->since == 0) w->since = now;
  if (!c->spins) return false;
  int64_t length = look_length(p);
  bool came = look(w, now, length != 0 ? length : LOOK_LEAST);
  if (length == 0) return came;
  p->backoff = came ? 0 : p->backoff < BACKOFF_MOST ? p->backoff * 2 + 1 : BACKOFF_MOST;
  p->skip = p->backoff;
  return came;
}

void mp_queue_wait_over(struct queue_wait *w) {
  int64_t length = mp_clock_now() - w->since, usual = w->patience->usual;
  if (length > WAIT_LONG) length = WAIT_LONG;
  w->patience->usual = (uint32_t)(usual + (length - usual) / 4);
}

int mp_queue_sleep(struct mp_context *c, struct queue *q, struct mp_park *park,
                   struct queue_wait *w) {
  uint32_t seq = mp_park_ticket(park);
  mp_park_announce(park);
  if (w64_get_acquire(w->word) != w->seen || w32_get_acquire(&q->closed) != QUEUE_OPEN) return 0;
  return mp_park_wait(c, park, seq, w->until, &w->nap);
}

static bool queue_done(const struct queue *q) {
  uint64_t done = w64_get_acquire(&q->get.finished) + w64_get_acquire(&q->get.lost);
  return done == w64_get_acquire(&q->tail);
}

static void wake_joiners(struct mp_context *c, struct queue *q) {
  if (queue_done(q)) mp_park_wake(c, &q->all_done, UINT32_MAX);
}

int mp_queue_task_done(mp_queue *h) {
  struct mp_context *c = h->context;
  struct queue *q = queue_of(h);
  int r = MP_LIMIT;
  mp_mutex_lock(c, &q->get.lock);
  uint64_t finished = w64_get(&q->get.finished);
  if (finished + w64_get(&q->get.lost) < w64_get_acquire(&q->tail)) {
    uint32_t held = w32_get(&h->entry->held);
    if (held > 0)
      mp_tx_plan32(c, &h->entry->held, held - 1);
    else
      mp_tx_plan64(c, &q->get.borrowed, w64_get(&q->get.borrowed) + 1);
    mp_tx_plan64(c, &q->get.finished, finished + 1);
    mp_tx_carry_out(c);
    r = 0;
  }
  mp_mutex_unlock(c, &q->get.lock);
  if (r == 0) wake_joiners(c, q);
  return r;
}

void mp_queue_owner_died(struct mp_context *c, struct mp_object *o, struct mp_handle_entry *entry,
                         const struct mp_slot *dead) {
  struct queue *q = (struct queue *)(void *)o;
  (void)dead;
  mp_mutex_lock(c, &q->get.lock);
  uint64_t held = w32_get(&entry->held), borrowed = w64_get(&q->get.borrowed);
  uint64_t paid = held < borrowed ? held : borrowed;
  mp_tx_plan64(c, &q->get.lost, w64_get(&q->get.lost) + held - paid);
  mp_tx_plan64(c, &q->get.borrowed, borrowed - paid);
  mp_tx_plan32(c, &entry->held, 0);
  mp_tx_carry_out(c);
  mp_mutex_unlock(c, &q->get.lock);
  wake_joiners(c, q);
}

/* Sleeps until the queue may be done. */
static int join_wait(struct mp_context *c, struct queue *q, mp_deadline until, unsigned *nap) {
  uint32_t seq = mp_park_ticket(&q->all_done);
  mp_park_announce(&q->all_done);
  return queue_done(q) ? 0 : mp_park_wait(c, &q->all_done, seq, until, nap);
}

int mp_queue_join(mp_queue *h, mp_deadline until, uint64_t *lost) {
  struct mp_context *c = h->context;
  struct queue *q = queue_of(h);
  unsigned nap = 0;
  for (bool last = until == MP_NOW; !queue_done(q);) {
    if (last) return MP_TIMEOUT;
    if (w32_get_acquire(&q->closed) == QUEUE_EMPTIED) mp_queue_drain(c, q);
    int r = join_wait(c, q, until, &nap);
    last = r == MP_TIMEOUT;
    if (r != 0 && !last) return r;
  }
  uint64_t known = *lost;
  *lost = w64_get_acquire(&q->get.lost);
  return *lost != known ? MP_LOST : 0;
}
