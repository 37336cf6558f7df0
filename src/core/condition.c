/*
** Condition: a line of participants, each asleep on its own slot's bell, in front of a lock.
**
** Structure: the line runs through the slots (`ahead`, `behind`), first come first; each place has
** a number, `turn`, that only grows. `notified` is the greatest turn that was notified: those up to
** it are the front of the line, the others wait. A participant in the line has held = 1. The lock,
** of either kind, is an object of its own that the condition mentions.
** Lock: object.lock for line, turns and `notified`; the users' lock is never taken under it.
** Invariant: turns grow along the line; who is in it has a live handle entry with held = 1.
** A notification is one store of `notified`, so it is made for all of its n or for none. A waiter
** leaves the line when it has its lock back, and learns then whether it was notified.
** Death: of a waiter: the cleaner takes it out of the line, and what it was notified of it passes
** on to the first that still waits. Of a notifier between the store and the wake: a capped nap.
*/
#include <errno.h>

#include "sync.h"

#define WAKE_AT_ONCE 32u

struct condition { /* shared */
  struct mp_object object;
  mp_ticket lock;     /* fixed */
  mp_w32 recursive;   /* fixed: the lock is an RLock */
  mp_w32 counted;     /* 1: the lock counts our mention */
  mp_w32 first, last; /* object.lock: slot index + 1 */
  mp_w64 turns;       /* object.lock: the last turn that was given out */
  mp_w64 notified;    /* object.lock */
};

static struct condition *condition_of(const struct mp_handle *h) {
  return (struct condition *)(void *)h->object;
}

static struct mp_slot *place(const struct mp_context *c, uint32_t number) {
  return number == 0 ? NULL : mp_slot_at(&c->arena, number - 1);
}

static uint32_t number_of(const struct mp_context *c, const struct mp_slot *s) {
  return (uint32_t)(s - mp_slot_at(&c->arena, 0)) + 1;
}

/* ---- the line; object.lock is held ---- */

static bool is_notified(const struct condition *n, const struct mp_slot *s) {
  return w64_get(&s->turn) <= w64_get(&n->notified);
}

static struct mp_slot *first_waiting(const struct mp_context *c, const struct condition *n) {
  struct mp_slot *s = place(c, w32_get(&n->first));
  while (s != NULL && is_notified(n, s)) s = place(c, w32_get(&s->behind));
  return s;
}

/* In a transaction: we go to the end of the line. */
static void line_join(struct mp_context *c, struct condition *n) {
  uint32_t me = number_of(c, c->slot), last = w32_get(&n->last);
  uint64_t turn = w64_get(&n->turns) + 1;
  mp_tx_set64(c, &n->turns, turn);
  mp_tx_set64(c, &c->slot->turn, turn);
  mp_tx_set32(c, &c->slot->ahead, last);
  mp_tx_set32(c, &c->slot->behind, 0);
  mp_tx_set32(c, last != 0 ? &place(c, last)->behind : &n->first, me);
  mp_tx_set32(c, &n->last, me);
}

/* In a transaction: `s` leaves. */
static void line_leave(struct mp_context *c, struct condition *n, struct mp_slot *s) {
  uint32_t ahead = w32_get(&s->ahead), behind = w32_get(&s->behind);
  mp_tx_set32(c, ahead != 0 ? &place(c, ahead)->behind : &n->first, behind);
  mp_tx_set32(c, behind != 0 ? &place(c, behind)->ahead : &n->last, ahead);
}

/* ---- birth ---- */

/* As for an array's lock: from before the mention the block in pending counts as an object, so that
** a cleaner takes the mention back. */
static int condition_mention(struct mp_handle *h, const mp_lock *lock) {
  struct condition *n = condition_of(h);
  n->lock = mp_handle_ticket(lock);
  w32_put(&n->recursive, mp_sync_is(lock, MP_KIND_RLOCK));
  w64_put(mp_heap_pending_entry(h->context, h->ref), h->ref | (uint64_t)MP_BLOCK_OBJECT << 32);
  return mp_object_mention(h->context, n->lock, &n->counted);
}

int mp_condition_new(struct mp_context *c, mp_lock *lock, mp_condition **out) {
  struct mp_handle *h;
  if (!mp_sync_is(lock, MP_KIND_LOCK) && !mp_sync_is(lock, MP_KIND_RLOCK)) return -EINVAL;
  int r = mp_object_new(c, MP_KIND_CONDITION, sizeof(struct condition), &h);
  if (r != 0) return r;
  r = condition_mention(h, lock);
  if (r != 0) {
    mp_object_drop(h);
    return r;
  }
  mp_object_publish(h, NULL, 0);
  *out = h;
  return 0;
}

int mp_condition_open(struct mp_context *c, mp_ticket t, mp_condition **out) {
  return mp_sync_open(c, t, MP_KIND_CONDITION, out);
}

int mp_condition_lock(mp_condition *h, mp_lock **out) {
  return mp_handle_open(h->context, condition_of(h)->lock, out);
}

mp_condition *mp_condition_close(mp_condition *h) {
  return mp_handle_close(h);
}

/* ---- wait ---- */

static void wait_begin(mp_condition *h) {
  struct mp_context *c = h->context;
  struct condition *n = condition_of(h);
  mp_mutex_lock(c, &n->object.lock);
  line_join(c, n);
  mp_tx_set32(c, &h->entry->held, 1);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &n->object.lock);
}

bool mp_condition_stand_down(mp_condition *h) {
  struct mp_context *c = h->context;
  struct condition *n = condition_of(h);
  mp_mutex_lock(c, &n->object.lock);
  bool notified = is_notified(n, c->slot);
  line_leave(c, n, c->slot);
  mp_tx_set32(c, &h->entry->held, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &n->object.lock);
  return notified;
}

static bool wait_over(mp_condition *h) {
  struct mp_context *c = h->context;
  struct condition *n = condition_of(h);
  mp_mutex_lock(c, &n->object.lock);
  bool notified = is_notified(n, c->slot);
  mp_mutex_unlock(c, &n->object.lock);
  return notified;
}

/* In the line and without the lock: until we are notified, or the deadline, or a signal. */
static int wait_asleep(mp_condition *h, mp_deadline until) {
  struct mp_park *bell = &h->context->slot->bell;
  for (unsigned nap = 0;;) {
    uint32_t seq = mp_park_ticket(bell);
    mp_park_announce(bell);
    if (wait_over(h)) return 0;
    int r = mp_park_wait(h->context, bell, seq, until, &nap);
    if (r != 0) return r;
  }
}

int mp_condition_wait(mp_condition *h, mp_lock *lock, mp_deadline until, int *abandoned) {
  uint32_t depth;
  if (!mp_lock_mine(lock)) return MP_NOT_OWNER;
  wait_begin(h);
  if (mp_lock_suspend(lock, &depth) != 0) { /* another process released it for us just now */
    (void)mp_condition_stand_down(h);
    return MP_NOT_OWNER;
  }
  int r = wait_asleep(h, until);
  *abandoned = mp_lock_resume(lock, depth) == MP_ABANDONED;
  return mp_condition_stand_down(h) ? 0 : r; /* notified at the last moment is notified */
}

/* ---- notify ---- */

/* Notifies up to n that wait; the first and the last turn of them. */
static bool notify_locked(struct mp_context *c, struct condition *n, uint32_t many,
                          uint64_t *from, uint64_t *to) {
  struct mp_slot *s = first_waiting(c, n);
  if (s == NULL || many == 0) return false;
  *from = w64_get(&s->turn);
  for (uint32_t i = 1; i < many && w32_get(&s->behind) != 0; i++) s = place(c, w32_get(&s->behind));
  *to = w64_get(&s->turn);
  w64_put(&n->notified, *to); /* the commit */
  return true;
}

/* Those in the line with turns from `from` to `to`, some of them; `from` goes past these. */
static uint32_t collect(struct mp_context *c, struct condition *n, uint64_t *from, uint64_t to,
                        struct mp_slot *found[]) {
  uint32_t count = 0;
  mp_mutex_lock(c, &n->object.lock);
  struct mp_slot *s = place(c, w32_get(&n->first));
  for (; s != NULL && count < WAKE_AT_ONCE; s = place(c, w32_get(&s->behind))) {
    uint64_t turn = w64_get(&s->turn);
    if (turn < *from) continue;
    if (turn > to) break;
    found[count++] = s;
    *from = turn + 1;
  }
  mp_mutex_unlock(c, &n->object.lock);
  return count;
}

static void wake_turns(struct mp_context *c, struct condition *n, uint64_t from, uint64_t to) {
  struct mp_slot *found[WAKE_AT_ONCE];
  uint32_t count;
  do {
    count = collect(c, n, &from, to, found);
    for (uint32_t i = 0; i < count; i++) mp_park_wake(c, &found[i]->bell, 1);
  } while (count == WAKE_AT_ONCE);
}

int mp_condition_notify(mp_condition *h, const mp_lock *lock, uint32_t many) {
  struct mp_context *c = h->context;
  struct condition *n = condition_of(h);
  uint64_t from = 0, to = 0;
  if (!mp_lock_mine(lock)) return MP_NOT_OWNER;
  mp_mutex_lock(c, &n->object.lock);
  bool any = notify_locked(c, n, many, &from, &to);
  mp_mutex_unlock(c, &n->object.lock);
  if (any) wake_turns(c, n, from, to);
  return 0;
}

unsigned mp_condition_waiting(mp_condition *h) {
  struct mp_context *c = h->context;
  struct condition *n = condition_of(h);
  unsigned count = 0;
  mp_mutex_lock(c, &n->object.lock);
  for (struct mp_slot *s = first_waiting(c, n); s != NULL; s = place(c, w32_get(&s->behind)))
    count++;
  mp_mutex_unlock(c, &n->object.lock);
  return count;
}

uint32_t mp_place_holding(struct mp_context *c, const struct mp_object *o, uint32_t held,
                          uint32_t tag) {
  (void)c;
  (void)o;
  (void)held;
  (void)tag;
  return 0;
}

/* ---- death and destruction ---- */

/* In a transaction: somebody else is notified in the place of `dead`. */
static struct mp_slot *pass_on(struct mp_context *c, struct condition *n,
                               const struct mp_slot *dead) {
  struct mp_slot *next = is_notified(n, dead) ? first_waiting(c, n) : NULL;
  if (next != NULL) mp_tx_set64(c, &n->notified, w64_get(&next->turn));
  return next;
}

static void condition_owner_died(struct mp_context *c, struct mp_object *o,
                                 struct mp_handle_entry *entry, const struct mp_slot *dead) {
  struct condition *n = (struct condition *)(void *)o;
  struct mp_slot *left = place(c, number_of(c, dead));
  mp_mutex_lock(c, &o->lock);
  struct mp_slot *next = pass_on(c, n, left);
  line_leave(c, n, left);
  mp_tx_set32(c, &entry->held, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &o->lock);
  if (next != NULL) mp_park_wake(c, &next->bell, 1);
}

static void condition_destroy(struct mp_context *c, struct mp_object *o) {
  struct condition *n = (struct condition *)(void *)o;
  if (w32_get(&n->counted) != 0) mp_object_forget(c, n->lock, &n->counted);
}

/* ---- the checker ---- */

static const char *place_check(struct mp_context *c, struct mp_object *o, const struct mp_slot *s,
                               uint32_t ahead) {
  const struct mp_handle_entry *entry =
      mp_object_entry(c, o, mp_slot_tag(&c->arena, number_of(c, s) - 1));
  if (mp_slot_state_of(w64_get(&s->who)) != MP_SLOT_LIVE) return "condition: a dead one waits";
  if (w32_get(&s->ahead) != ahead) return "condition: the line's links do not match";
  if (ahead != 0 && w64_get(&s->turn) <= w64_get(&place(c, ahead)->turn))
    return "condition: the line is out of order";
  if (entry == NULL) return "condition: one without a handle waits";
  return w32_get(&entry->held) == 0 ? "condition: a waiter does not know that it waits" : NULL;
}

static const char *condition_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct condition *n = (struct condition *)(void *)o;
  const char *wrong = NULL;
  uint32_t ahead = 0, count = 0;
  for (uint32_t at = w32_get(&n->first); wrong == NULL && at != 0;) {
    if (at > MP_SLOTS || count++ > MP_SLOTS) return "condition: the line goes nowhere";
    wrong = place_check(c, o, place(c, at), ahead);
    ahead = at;
    at = w32_get(&place(c, at)->behind);
  }
  if (wrong != NULL) return wrong;
  if (w32_get(&n->last) != ahead) return "condition: the line's end is not its last";
  if (w64_get(&n->notified) > w64_get(&n->turns)) return "condition: the future was notified";
  return w32_get(&n->counted) != 0 ? mp_walk_mention(w, n->lock) : NULL;
}

const struct mp_kind mp_condition_kind = {"Condition", condition_owner_died, condition_destroy,
                                          condition_check};
