/*
** What the workers of the torture do until somebody kills them: random operations on shared
** objects, the same ones for the same SEED and life. Each operation checks what it sees: a lock's
** section is alone, a bounded semaphore admits no more than it has units, a message is whole, comes
** once, and after those that its producer put before.
*/
#ifndef SPEC_CRASH_WORK_H
#define SPEC_CRASH_WORK_H

#include <sched.h>

#include "../../src/core/context.h"
#include "../../src/core/os.h"
#include "../../src/core/queue.h"
#include "journal.h"

#define LOCKS 2
#define UNITS 3u
#define PLAIN_UNITS 1000000u
#define ELEMENTS 8
#define PARTIES 3

/* Faults that the judge must find: the proof that it can (each in a must-fail case). */
enum fault { FAULT_NONE, FAULT_DROP, FAULT_DOUBLE, FAULT_REORDER, FAULT_BROKEN, FAULT_NO_LOCK,
             FAULT_UNITS, FAULT_ADD, FAULT_STUCK, FAULT_LEAK };

struct objects { /* those that are there all the time; a child has them by fork */
  mp_lock *lock[LOCKS], *rlock, *condition_lock;
  mp_semaphore *bounded, *undo, *plain;
  mp_event *event;
  mp_condition *condition;
  mp_barrier *barrier;
  mp_array *array;
  mp_queue *queue[QUEUES];
};

struct worker {
  struct mp_context *c;
  struct objects *o;
  struct journal *j;
  struct seat *s;
  enum fault fault;
  bool scarce; /* there may be no memory */
  uint64_t random;
  uint32_t seat, life, seq;
  uint32_t last_life[QUEUES][SEATS], last_seq[QUEUES][SEATS]; /* of what we took */
  unsigned char bytes[4][70000];
};

struct message { /* what every message begins with */
  uint32_t seat, life, seq, queue, kind, length;
  uint64_t sum;
};

static uint64_t next_random(uint64_t *r) {
  *r ^= *r << 13;
  *r ^= *r >> 7;
  *r ^= *r << 17;
  return *r * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static uint32_t dice(struct worker *w, uint32_t n) {
  return (uint32_t)(next_random(&w->random) % n);
}

static mp_deadline some_time(struct worker *w) {
  static const double seconds[] = {0, 0, 0.001, 0.005, 0.03, 0.2};
  return mp_in(seconds[dice(w, 6)]);
}

/* A moment inside of an operation, in which one may be killed. */
static void dwell(struct worker *w) {
  uint32_t n = dice(w, 40);
  if (n == 0) test_sleep(0.0002);
  if (n == 1) sched_yield();
  for (uint32_t i = 0; i < n * 8; i++) mp_cpu_relax();
}

/* ---- locks ---- */

static void cell_enter(struct worker *w, struct cell *cell, int r) {
  CHECK(r == 0 || r == MP_ABANDONED);
  if (r == 0 && cell->owner != 0) test_fail(__FILE__, __LINE__, "two are in one section at once");
  if (r == 0 && cell->a != cell->b) test_fail(__FILE__, __LINE__, "half a section, not abandoned");
  if (r == MP_ABANDONED) cell->b = cell->a;
  cell->owner = w->life;
}

static void cell_leave(struct worker *w, struct cell *cell) {
  cell->a++;
  dwell(w);
  cell->b++;
  if (cell->owner != w->life || cell->a != cell->b)
    test_fail(__FILE__, __LINE__, "two are in one section at once");
  cell->owner = 0;
}

/* It is done; or there was no memory for it, where that may be, and nothing has changed. */
static bool is_done(struct worker *w, int r) {
  if (r == -ENOMEM && w->scarce) {
    (void)__sync_add_and_fetch(&w->j->refused, 1);
    return false;
  }
  CHECK_EQ(r, 0);
  return true;
}

/* Takes it, however often we are interrupted. */
static int lock_surely(mp_lock *l, int (*acquire)(mp_lock *l, mp_deadline until)) {
  int r;
  do {
    r = acquire(l, MP_FOREVER);
  } while (r == MP_INTERRUPTED);
  return r;
}

static void do_lock(struct worker *w) {
  uint32_t i = dice(w, LOCKS);
  bool skip = w->fault == FAULT_NO_LOCK && dice(w, 20) == 0;
  seat_begin(w->s, OP_LOCK, i, 0, 0);
  int r = skip ? 0 : lock_surely(w->o->lock[i], mp_lock_acquire);
  cell_enter(w, &w->j->cell[i], r);
  if (w->fault == FAULT_STUCK && dice(w, 100) == 0) test_sleep(100);
  cell_leave(w, &w->j->cell[i]);
  if (!skip) CHECK_EQ(mp_lock_release(w->o->lock[i]), 0);
  seat_end(w->s);
}

static void do_rlock(struct worker *w) {
  uint32_t deep = 1 + dice(w, 3);
  seat_begin(w->s, OP_LOCK, LOCKS, 0, 0);
  cell_enter(w, &w->j->cell[LOCKS], lock_surely(w->o->rlock, mp_rlock_acquire));
  for (uint32_t i = 1; i < deep; i++) CHECK_EQ(mp_rlock_acquire(w->o->rlock, MP_NOW), 0);
  for (uint32_t i = 1; i < deep; i++) CHECK_EQ(mp_rlock_release(w->o->rlock), 0);
  cell_leave(w, &w->j->cell[LOCKS]);
  CHECK_EQ(mp_rlock_release(w->o->rlock), 0);
  seat_end(w->s);
}

/* Waits for a notification in the middle of a section, or gives one. */
static void do_condition(struct worker *w) {
  struct cell *cell = &w->j->cell[LOCKS + 1];
  int abandoned;
  seat_begin(w->s, OP_CONDITION, 0, 0, 0);
  cell_enter(w, cell, lock_surely(w->o->condition_lock, mp_rlock_acquire));
  if (dice(w, 2) == 0) {
    CHECK_EQ(mp_condition_notify(w->o->condition, w->o->condition_lock, 1 + dice(w, 3)), 0);
  } else {
    cell_leave(w, cell);
    int r = mp_condition_wait(w->o->condition, w->o->condition_lock, some_time(w), &abandoned);
    CHECK(r == 0 || r == MP_TIMEOUT || r == MP_INTERRUPTED);
    cell_enter(w, cell, abandoned ? MP_ABANDONED : 0);
  }
  cell_leave(w, cell);
  CHECK_EQ(mp_rlock_release(w->o->condition_lock), 0);
  seat_end(w->s);
}

/* ---- semaphores, events, barriers, numbers ---- */

/* A place among those who have a unit: free, or of somebody who died there. */
static uint32_t place_take(struct worker *w) {
  for (uint32_t i = 0; i < UNITS; i++) {
    uint32_t was = w->j->inside[i];
    if (was != 0 && mp_os_process_gone(w->j->life[was].pid, 0) == 0) continue;
    if (__sync_bool_compare_and_swap(&w->j->inside[i], was, w->life)) return i;
  }
  return UNITS;
}

static void do_bounded(struct worker *w) {
  seat_begin(w->s, OP_SEMAPHORE, 0, 0, 0);
  int r = mp_semaphore_acquire(w->o->bounded, some_time(w));
  if (r == 0) {
    uint32_t place = place_take(w);
    for (int i = 0; i < 10 && place == UNITS; i++) place = place_take(w); /* another was faster */
    if (place == UNITS) test_fail(__FILE__, __LINE__, "more are inside than there are units");
    dwell(w);
    w->j->inside[place] = 0;
    CHECK_EQ(mp_semaphore_release(w->o->bounded), 0);
  } else if (r != MP_TIMEOUT && r != MP_INTERRUPTED) {
    (void)is_done(w, r);
  }
  seat_end(w->s);
}

static void do_undo(struct worker *w) {
  uint32_t n = 1 + dice(w, UNITS), got = 0;
  seat_begin(w->s, OP_SEMAPHORE, 1, 0, 0);
  while (got < n && mp_semaphore_acquire(w->o->undo, some_time(w)) == 0) got++;
  dwell(w);
  if (w->fault == FAULT_UNITS && dice(w, 10) == 0) got++;
  for (; got > 0; got--) CHECK_EQ(mp_semaphore_release(w->o->undo), 0);
  seat_end(w->s);
}

static void do_plain(struct worker *w) {
  seat_begin(w->s, OP_TAKE, 0, 0, 0);
  CHECK_EQ(mp_semaphore_acquire(w->o->plain, MP_NOW), 0);
  w->s->taken++;
  seat_end(w->s);
  seat_begin(w->s, OP_GIVE, 0, 0, 0);
  CHECK_EQ(mp_semaphore_release(w->o->plain), 0);
  w->s->given++;
  seat_end(w->s);
}

static void do_add(struct worker *w) {
  mp_number sum;
  seat_begin(w->s, OP_ADD, 0, 0, 0);
  CHECK_EQ(mp_array_add(w->o->array, dice(w, ELEMENTS), (mp_number){.i = 1}, &sum), 0);
  if (w->fault != FAULT_ADD || dice(w, 10) != 0) w->s->adds++;
  seat_end(w->s);
}

static void do_event(struct worker *w) {
  seat_begin(w->s, OP_EVENT, 0, 0, 0);
  uint32_t what = dice(w, 3);
  if (what == 0) mp_event_set(w->o->event);
  if (what == 1) mp_event_clear(w->o->event);
  if (what == 2) {
    int r = mp_event_wait(w->o->event, mp_event_moment(w->o->event), some_time(w));
    CHECK(r == 0 || r == MP_TIMEOUT || r == MP_INTERRUPTED);
  }
  seat_end(w->s);
}

static void do_barrier(struct worker *w) {
  unsigned number = 0;
  seat_begin(w->s, OP_BARRIER, 0, 0, 0);
  int r = mp_barrier_wait(w->o->barrier, some_time(w), NULL, &number);
  if (r != MP_BROKEN && r != MP_INTERRUPTED && r != MP_TIMEOUT) (void)is_done(w, r);
  if (r == 0) CHECK(number >= 1 && number <= PARTIES);
  if (r == MP_BROKEN && dice(w, 2) == 0) mp_barrier_reset(w->o->barrier);
  seat_end(w->s);
}

/* ---- objects that come and go, and travel ---- */

enum { KIND_NONE, KIND_LOCK, KIND_SEMAPHORE, KIND_EVENT, KIND_QUEUE, KINDS };

/* NULL: there was no memory for it. */
static struct mp_handle *object_make(struct worker *w, uint32_t kind) {
  struct mp_handle *h = NULL;
  int r = 0;
  if (kind == KIND_LOCK) r = mp_lock_new(w->c, &h);
  if (kind == KIND_SEMAPHORE)
    r = mp_semaphore_new(w->c, &(mp_semaphore_options){2, MP_SEMAPHORE_BOUNDED}, &h);
  if (kind == KIND_EVENT) r = mp_event_new(w->c, &h);
  if (kind == KIND_QUEUE) r = mp_queue_new(w->c, &(mp_queue_options){0}, &h);
  return is_done(w, r) ? h : NULL;
}

static struct mp_handle *object_open(struct worker *w, uint32_t kind, mp_ticket t) {
  struct mp_handle *h = NULL;
  int r = 0;
  if (kind == KIND_LOCK) r = mp_lock_open(w->c, t, &h);
  if (kind == KIND_SEMAPHORE) r = mp_semaphore_open(w->c, t, &h);
  if (kind == KIND_EVENT) r = mp_event_open(w->c, t, &h);
  if (kind == KIND_QUEUE) r = mp_queue_open(w->c, t, &h);
  return is_done(w, r) ? h : NULL;
}

/* A queue may go with messages in it, a semaphore's taker be killed. */
static void object_use(struct worker *w, uint32_t kind, struct mp_handle *h) {
  mp_letter l;
  int r = 0;
  if (kind == KIND_LOCK) {
    r = mp_lock_acquire(h, MP_NOW);
    CHECK(r == 0 || r == MP_ABANDONED);
    CHECK_EQ(mp_lock_release(h), 0);
  } else if (kind == KIND_SEMAPHORE) {
    if (is_done(w, mp_semaphore_acquire(h, MP_NOW))) CHECK_EQ(mp_semaphore_release(h), 0);
  } else if (kind == KIND_EVENT) {
    mp_event_set(h);
  } else {
    for (uint32_t n = dice(w, 40); n > 0; n--)
      (void)is_done(w, mp_queue_put(h, &(mp_parcel){.bytes = w->bytes[3], .length = n * 9}, MP_NOW));
    for (uint32_t n = dice(w, 40); n > 0 && mp_queue_get(h, MP_NOW, &l) == 0; n--)
      mp_letter_free(w->c, &l);
  }
}

static void object_close(uint32_t kind, struct mp_handle *h) {
  if (kind == KIND_LOCK) mp_lock_close(h);
  if (kind == KIND_SEMAPHORE) mp_semaphore_close(h);
  if (kind == KIND_EVENT) mp_event_close(h);
  if (kind == KIND_QUEUE) mp_queue_close(h);
}

static void do_object(struct worker *w) {
  uint32_t kind = 1 + dice(w, KINDS - 1);
  seat_begin(w->s, OP_OBJECT, kind, 0, 0);
  struct mp_handle *h = object_make(w, kind);
  if (h != NULL) object_use(w, kind, h);
  object_close(kind, h);
  seat_end(w->s);
}

/* ---- messages ---- */

static uint64_t message_sum(const unsigned char *bytes, uint32_t length) {
  uint64_t sum = UINT64_C(14695981039346656037);
  for (uint32_t i = 0; i < length; i++) {
    bool of_sum = i >= offsetof(struct message, sum) && i < sizeof(struct message);
    sum = (sum ^ (of_sum ? 0 : bytes[i])) * UINT64_C(1099511628211);
  }
  return sum;
}

static uint32_t message_length(struct worker *w) {
  const uint32_t least = sizeof(struct message);
  uint32_t n = dice(w, 100);
  if (n < 60) return least + dice(w, MP_LETTER_SMALL - least + 1);
  if (n < 90) return least + dice(w, 600);
  return n < 99 ? 1000 + dice(w, 5000) : 33000 + dice(w, 30000);
}

static mp_parcel message_write(struct worker *w, uint32_t i, uint32_t seq, uint32_t queue,
                               uint32_t kind) {
  uint32_t length = message_length(w);
  struct message m = {w->seat, w->life, seq, queue, kind, length, 0};
  memset(w->bytes[i], (int)(seq + length), length);
  memcpy(w->bytes[i], &m, sizeof m);
  m.sum = message_sum(w->bytes[i], length);
  memcpy(w->bytes[i], &m, sizeof m);
  if (w->fault == FAULT_BROKEN && dice(w, 50) == 0) w->bytes[i][length - 1] ^= 1;
  return (mp_parcel){.bytes = w->bytes[i], .length = length};
}

/* What is taken counts at once; then it is looked at. */
static void message_take(struct worker *w, const mp_letter *l, uint32_t queue) {
  struct message m;
  CHECK(l->parcel.length >= sizeof m);
  memcpy(&m, l->parcel.bytes, sizeof m);
  if (m.life >= LIVES || m.seq >= LIFE_MESSAGES || m.seat >= SEATS || m.length != l->parcel.length)
    test_fail(__FILE__, __LINE__, "a message is not whole");
  mark_take(w->j, m.life, m.seq, queue);
}

static void message_read(struct worker *w, const mp_letter *l, uint32_t queue) {
  struct message m;
  memcpy(&m, l->parcel.bytes, sizeof m);
  if (message_sum(l->parcel.bytes, m.length) != m.sum)
    test_fail(__FILE__, __LINE__, "a message is not whole");
  uint32_t *life = &w->last_life[queue][m.seat], *seq = &w->last_seq[queue][m.seat];
  if (m.life < *life || (m.life == *life && m.seq < *seq))
    test_fail(__FILE__, __LINE__, "a message is out of order: life %u, number %u after %u of %u",
              m.life, m.seq, *seq, *life);
  *life = m.life;
  *seq = m.seq + 1;
  CHECK_EQ(l->parcel.ticket_count, m.kind != KIND_NONE);
  if (m.kind == KIND_NONE) return;
  struct mp_handle *h = object_open(w, m.kind, l->parcel.tickets[0]);
  if (h != NULL) object_use(w, m.kind, h);
  object_close(m.kind, h);
}

static void do_put(struct worker *w) {
  uint32_t q = dice(w, QUEUES), n = dice(w, 6) == 0 ? 2 + dice(w, 2) : 1;
  uint32_t kind = dice(w, 12) == 0 ? 1 + dice(w, KINDS - 1) : (uint32_t)KIND_NONE;
  struct mp_handle *passenger = object_make(w, kind);
  if (passenger == NULL) kind = KIND_NONE;
  mp_ticket t = passenger != NULL ? mp_handle_ticket(passenger) : (mp_ticket){{0, 0}};
  mp_parcel p[4];
  mp_queue_state state;
  size_t done = 0;
  mp_queue_look(w->o->queue[q], &state);
  if (w->seq + n > LIFE_MESSAGES || state.size > 500) n = 0;
  seat_begin(w->s, OP_PUT, q, w->seq, n);
  for (uint32_t i = 0; i < n; i++) {
    bool swap = w->fault == FAULT_REORDER && n == 2;
    p[i] = message_write(w, i, w->seq + (swap ? 1 - i : i), q, i == 0 ? kind : (uint32_t)KIND_NONE);
    if (i == 0 && passenger != NULL) p[i].tickets = &t, p[i].ticket_count = 1;
    mark_intend(w->j, w->life, w->seq + i, q);
  }
  int r = n > 0 ? mp_queue_put_many(w->o->queue[q], p, n, some_time(w), &done) : MP_FULL;
  if (r != MP_FULL && r != MP_TIMEOUT && r != MP_INTERRUPTED) (void)is_done(w, r);
  if (w->fault == FAULT_DOUBLE && done > 0 && dice(w, 50) == 0)
    r = mp_queue_put(w->o->queue[q], p, MP_NOW);
  for (uint32_t i = 0; i < n; i++) {
    if (i < done)
      (void)mark_set(w->j, w->life, w->seq + i, MARK_PUT);
    else
      mark_clear(w->j, w->life, w->seq + i);
  }
  w->seq += (uint32_t)done;
  object_close(kind, passenger);
  seat_end(w->s);
}

static void finish_tasks(struct worker *w, uint32_t n) {
  for (; n > 0; n--) {
    seat_begin(w->s, OP_TASK_DONE, QUEUE_JOINABLE, 0, n);
    CHECK_EQ(mp_queue_task_done(w->o->queue[QUEUE_JOINABLE]), 0);
    if (n > 1) seat_begin(w->s, OP_HOLD, QUEUE_JOINABLE, 0, n - 1);
  }
}

/* Mostly it waits first and takes then, so that few die with a get open. */
static void do_get(struct worker *w) {
  uint32_t q = dice(w, QUEUES), n = dice(w, 4) == 0 ? 4 : 1;
  mp_letter l[4];
  size_t got = 0;
  mp_deadline until = MP_NOW;
  int r = 0;
  seat_begin(w->s, OP_POLL, q, 0, 0);
  if (dice(w, 8) == 0)
    until = some_time(w);
  else
    r = mp_queue_poll(w->o->queue[q], some_time(w));
  CHECK(r == 0 || r == MP_TIMEOUT || r == MP_INTERRUPTED);
  seat_begin(w->s, OP_GET, q, 0, n);
  r = mp_queue_get_many(w->o->queue[q], n, until, l, &got);
  if (r != MP_EMPTY && r != MP_TIMEOUT && r != MP_INTERRUPTED) (void)is_done(w, r);
  if (r != 0) got = 0;
  bool drop = w->fault == FAULT_DROP && dice(w, 20) == 0;
  for (uint32_t i = 0; i < got; i++)
    if (!drop) message_take(w, &l[i], q);
  bool hold = q == QUEUE_JOINABLE && got > 0;
  seat_begin(w->s, hold ? OP_HOLD : OP_NONE, q, 0, (uint32_t)got);
  for (uint32_t i = 0; i < got; i++) {
    message_read(w, &l[i], q);
    mp_letter_free(w->c, &l[i]);
  }
  if (hold) finish_tasks(w, (uint32_t)got);
  seat_end(w->s);
}

/* ---- a child of one's own, that may survive its parent ---- */

static void do_fork(struct worker *w) {
  int pid, status;
  uint32_t tag;
  seat_begin(w->s, OP_FORK, 0, 0, 0);
  if (!is_done(w, mp_context_fork(w->c, false, &pid, &tag))) return seat_end(w->s);
  if (pid == 0) {
    struct seat mine = {0};
    w->s = &mine;
    if (!mp_context_valid(w->c)) _exit(0); /* the parent died over it */
    do_lock(w);
    do_object(w);
    mp_context_end(w->c, 0);
    _exit(0);
  }
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  CHECK_EQ(status, 0);
  seat_end(w->s);
}

static void do_tend(struct worker *w) {
  seat_begin(w->s, OP_TEND, 0, 0, 0);
  mp_context_tend(w->c, dice(w, 2) == 0);
  seat_end(w->s);
}

#endif
