/*
** Barrier: parties wait for each other, generation after generation.
**
** Structure: a generation is a block {phase, how many arrived, how many are inside}, in the list
** of those that somebody is still inside; `current` is the one that fills. The handle entry of a
** party that is inside keeps its generation in `held`, so a slow one learns what became of its own
** generation, however many have passed since. The action travels with the barrier as a message.
** Lock: object.lock for all of it but what is fixed.
** Invariant: inside = handle entries that name the generation. FILLING and ACTING generations are
** current, PASSED and BROKEN ones are not, and one of these that nobody is inside of is freed.
** Death: of a party inside a generation that has not passed: the cleaner breaks it and the barrier,
** and takes the party out, in one transaction. Of the waker after that: a capped nap.
*/
#include <errno.h>
#include <string.h>

#include "sync.h"

enum phase { FILLING, ACTING, PASSED, BROKEN };

struct generation { /* shared; under the barrier's object.lock */
  mp_w32 phase;
  mp_w32 arrived;   /* parties that have come and did not give up */
  mp_w32 inside;    /* parties that have not left yet */
  mp_w32 reordered; /* 1: one gave up, so that numbers are given out anew on leaving */
  mp_w32 left;      /* parties that have left it after it passed */
  mp_w32 next, prev;
};

struct barrier { /* shared */
  struct mp_object object;
  mp_w32 parties; /* fixed */
  mp_w32 action;  /* fixed: a message, or none */
  mp_w32 broken;  /* this and the next two: object.lock */
  mp_w32 current; /* the generation that fills, or none */
  mp_w32 first;   /* list of all generations */
  struct mp_park park;
};

static struct barrier *barrier_of(const struct mp_handle *h) {
  return (struct barrier *)(void *)h->object;
}

static struct generation *generation_at(const struct mp_context *c, mp_ref ref) {
  return (struct generation *)mp_at(c, ref);
}

static enum phase phase_of(const struct generation *g) {
  return (enum phase)w32_get(&g->phase);
}

/* ---- generations; in a transaction under object.lock ---- */

/* `ref` is a reserved block. */
static struct generation *generation_start(struct mp_context *c, struct barrier *b, mp_ref ref) {
  struct generation *g = generation_at(c, ref);
  mp_ref next = w32_get(&b->first);
  memset(g, 0, sizeof *g); /* FILLING; ours alone so far */
  w32_put(&g->next, next);
  if (next != MP_NONE) mp_tx_set32(c, &generation_at(c, next)->prev, ref);
  mp_tx_set32(c, &b->first, ref);
  mp_tx_set32(c, &b->current, ref);
  mp_tx_publish(c, ref);
  return g;
}

static void generation_drop(struct mp_context *c, struct barrier *b, struct generation *g) {
  mp_ref next = w32_get(&g->next), prev = w32_get(&g->prev);
  mp_tx_set32(c, prev == MP_NONE ? &b->first : &generation_at(c, prev)->next, next);
  if (next != MP_NONE) mp_tx_set32(c, &generation_at(c, next)->prev, prev);
  mp_tx_doom(c, mp_ref_of(c, g), MP_BLOCK_PLAIN);
}

/* What fills or acts has passed, or is broken. */
static void generation_end(struct mp_context *c, struct barrier *b, struct generation *g,
                           enum phase phase) {
  mp_tx_set32(c, &g->phase, phase);
  mp_tx_set32(c, &b->current, MP_NONE);
  if (w32_get(&g->inside) == 0) generation_drop(c, b, g);
}

static void generation_break(struct mp_context *c, struct barrier *b, struct generation *g) {
  mp_tx_set32(c, &b->broken, 1);
  if (phase_of(g) == FILLING || phase_of(g) == ACTING) generation_end(c, b, g, BROKEN);
}

/* The party of that entry is inside no longer. */
static void generation_leave(struct mp_context *c, struct barrier *b, struct generation *g,
                             struct mp_handle_entry *entry) {
  uint32_t inside = w32_get(&g->inside) - 1;
  mp_tx_set32(c, &g->inside, inside);
  mp_tx_set32(c, &entry->held, 0);
  if (inside == 0 && w32_get(&b->current) != mp_ref_of(c, g)) generation_drop(c, b, g);
}

/* ---- birth ---- */

int mp_barrier_new_with(struct mp_context *c, uint32_t parties, const struct mp_parcel *action,
                        mp_barrier **out) {
  struct mp_handle *h;
  mp_ref message = MP_NONE;
  if (parties == 0 || parties > MP_SLOTS) return -EINVAL;
  int r = mp_object_new(c, MP_KIND_BARRIER, sizeof(struct barrier), &h);
  if (r != 0) return r;
  if (action != NULL) r = mp_message_reserve(c, action, &message);
  if (r != 0) {
    mp_object_drop(h);
    return r;
  }
  w32_put(&barrier_of(h)->parties, parties);
  w32_put(&barrier_of(h)->action, message);
  mp_object_publish(h, &message, message != MP_NONE);
  *out = h;
  return 0;
}

int mp_barrier_new(struct mp_context *c, unsigned parties, mp_barrier **out) {
  return mp_barrier_new_with(c, parties, NULL, out);
}

int mp_barrier_open(struct mp_context *c, mp_ticket t, mp_barrier **out) {
  return mp_sync_open(c, t, MP_KIND_BARRIER, out);
}

mp_barrier *mp_barrier_close(mp_barrier *h) {
  return mp_handle_close(h);
}

int mp_barrier_action(const mp_barrier *h, struct mp_parcel *out) {
  mp_ref message = w32_get(&barrier_of(h)->action);
  if (message == MP_NONE) return MP_EMPTY;
  *out = mp_message_view(h->context, message);
  return 0;
}

/* ---- arrival ---- */

/* In a transaction: one party more. True: it is the last one. */
static bool arrive_in(mp_barrier *h, struct barrier *b, struct generation *g, bool acts) {
  struct mp_context *c = h->context;
  uint32_t arrived = w32_get(&g->arrived) + 1;
  bool last = arrived == w32_get(&b->parties);
  mp_tx_set32(c, &g->arrived, arrived);
  mp_tx_set32(c, &g->inside, w32_get(&g->inside) + 1);
  mp_tx_set32(c, &h->entry->held, mp_ref_of(c, g));
  if (last && acts) mp_tx_set32(c, &g->phase, ACTING);
  if (last && !acts) generation_end(c, b, g, PASSED);
  return last;
}

struct arrival { /* private */
  mp_ref spare;    /* a reserved block, in case a generation has to be made */
  bool acts, last;
  unsigned number; /* 1 .. parties */
};

/* 0: inside. MP_BROKEN. MP_FULL: an action runs, come back. MP_EMPTY: a spare block is needed. */
static int arrive_locked(mp_barrier *h, struct barrier *b, struct arrival *a) {
  struct mp_context *c = h->context;
  mp_ref current = w32_get(&b->current);
  if (w32_get(&b->broken) != 0) return MP_BROKEN;
  if (current == MP_NONE && a->spare == MP_NONE) return MP_EMPTY;
  if (current != MP_NONE && phase_of(generation_at(c, current)) == ACTING) return MP_FULL;
  struct generation *g =
      current != MP_NONE ? generation_at(c, current) : generation_start(c, b, a->spare);
  if (current == MP_NONE) a->spare = MP_NONE;
  a->last = arrive_in(h, b, g, a->acts);
  a->number = w32_get(&g->arrived);
  mp_tx_commit(c);
  return 0;
}

static int arrive_once(mp_barrier *h, struct barrier *b, struct arrival *a) {
  struct mp_context *c = h->context;
  mp_mutex_lock(c, &b->object.lock);
  int r = arrive_locked(h, b, a);
  mp_mutex_unlock(c, &b->object.lock);
  if (r != MP_EMPTY) return r;
  r = mp_heap_reserve(c, sizeof(struct generation), MP_BLOCK_PLAIN, &a->spare);
  return r != 0 ? r : MP_EMPTY;
}

/* Waits while the generation before still acts. */
static int arrive(mp_barrier *h, struct barrier *b, struct arrival *a, mp_deadline until) {
  for (unsigned nap = 0;;) {
    uint32_t seq = mp_park_ticket(&b->park);
    mp_park_announce(&b->park);
    int r = arrive_once(h, b, a);
    if (r == MP_EMPTY) continue;
    if (r != MP_FULL) return r;
    r = mp_park_wait(h->context, &b->park, seq, until, &nap);
    if (r != 0) return r;
  }
}

/* ---- waiting and leaving ---- */

/* The number that the leaving party gets, in a transaction. */
static unsigned number_on_leaving(struct mp_context *c, struct generation *g, unsigned number) {
  if (w32_get(&g->reordered) == 0) return number;
  uint32_t left = w32_get(&g->left) + 1;
  mp_tx_set32(c, &g->left, left);
  return left;
}

/* Looks, and leaves if there is nothing to wait for: 0, MP_BROKEN; MP_FULL: wait on. `why`: 0;
** MP_TIMEOUT breaks what has not passed, MP_INTERRUPTED gives the place in it up. */
static int leave_locked(mp_barrier *h, struct barrier *b, int why, unsigned *number) {
  struct mp_context *c = h->context;
  struct generation *g = generation_at(c, w32_get(&h->entry->held));
  int r = 0;
  if (phase_of(g) == FILLING && why == MP_INTERRUPTED) {
    mp_tx_set32(c, &g->arrived, w32_get(&g->arrived) - 1);
    mp_tx_set32(c, &g->reordered, 1);
    r = MP_INTERRUPTED;
  } else if (phase_of(g) == FILLING || phase_of(g) == ACTING) {
    if (why != MP_TIMEOUT) return MP_FULL; /* of an action that runs one awaits the end */
    generation_break(c, b, g);
    r = MP_BROKEN;
  } else if (phase_of(g) == BROKEN) {
    r = MP_BROKEN;
  } else {
    *number = number_on_leaving(c, g, *number);
  }
  generation_leave(c, b, g, h->entry);
  mp_tx_commit(c);
  return r;
}

static int leave(mp_barrier *h, struct barrier *b, int why, unsigned *number) {
  struct mp_context *c = h->context;
  mp_mutex_lock(c, &b->object.lock);
  int r = leave_locked(h, b, why, number);
  mp_mutex_unlock(c, &b->object.lock);
  mp_heap_free_doomed(c);
  if (r != MP_FULL && why == MP_TIMEOUT) mp_park_wake(c, &b->park, UINT32_MAX);
  return r;
}

int mp_barrier_go_on(mp_barrier *h, mp_deadline until, unsigned *number) {
  struct barrier *b = barrier_of(h);
  for (unsigned nap = 0;;) {
    uint32_t seq = mp_park_ticket(&b->park);
    mp_park_announce(&b->park);
    int r = leave(h, b, 0, number);
    if (r != MP_FULL) return r;
    int why = mp_park_wait(h->context, &b->park, seq, until, &nap);
    if (why != 0 && (r = leave(h, b, why, number)) != MP_FULL) return r;
  }
}

/* The last party has run the action: the generation passes, or breaks. */
static int act_end(mp_barrier *h, struct barrier *b, bool failed, unsigned *number) {
  struct mp_context *c = h->context;
  mp_mutex_lock(c, &b->object.lock);
  struct generation *g = generation_at(c, w32_get(&h->entry->held));
  if (phase_of(g) == ACTING && failed) generation_break(c, b, g);
  if (phase_of(g) == ACTING) generation_end(c, b, g, PASSED);
  int r = leave_locked(h, b, 0, number);
  mp_mutex_unlock(c, &b->object.lock);
  mp_heap_free_doomed(c);
  return r;
}

int mp_barrier_wait(mp_barrier *h, mp_deadline until, const mp_barrier_act *act, unsigned *number) {
  struct mp_context *c = h->context;
  struct barrier *b = barrier_of(h);
  struct arrival a = {MP_NONE, act != NULL, false, 0};
  if (w32_get(&h->entry->held) != 0) return -EDEADLK; /* from within its own action */
  int r = arrive(h, b, &a, until);
  if (a.spare != MP_NONE) mp_heap_unreserve(c, a.spare);
  if (r != 0) return r;
  if (!a.last) {
    r = mp_barrier_go_on(h, until, &a.number);
  } else {
    bool failed = act != NULL && act->run(act->arg) != 0;
    r = act_end(h, b, failed, &a.number);
    mp_park_wake(c, &b->park, UINT32_MAX);
  }
  if (r == 0) *number = a.number;
  return r;
}

/* ---- reset and abort ---- */

static void barrier_break(mp_barrier *h, uint32_t broken) {
  struct mp_context *c = h->context;
  struct barrier *b = barrier_of(h);
  mp_mutex_lock(c, &b->object.lock);
  mp_ref current = w32_get(&b->current);
  if (current != MP_NONE) generation_break(c, b, generation_at(c, current));
  mp_tx_set32(c, &b->broken, broken);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &b->object.lock);
  mp_heap_free_doomed(c);
  mp_park_wake(c, &b->park, UINT32_MAX);
}

void mp_barrier_reset(mp_barrier *h) {
  barrier_break(h, 0);
}

void mp_barrier_abort(mp_barrier *h) {
  barrier_break(h, 1);
}

mp_barrier_look mp_barrier_look_at(mp_barrier *h) {
  struct mp_context *c = h->context;
  struct barrier *b = barrier_of(h);
  mp_barrier_look look = {w32_get(&b->parties), 0, 0};
  mp_mutex_lock(c, &b->object.lock);
  mp_ref current = w32_get(&b->current);
  if (current != MP_NONE) look.waiting = w32_get(&generation_at(c, current)->arrived);
  look.broken = w32_get(&b->broken) != 0;
  mp_mutex_unlock(c, &b->object.lock);
  return look;
}

/* ---- death and destruction ---- */

static void barrier_owner_died(struct mp_context *c, struct mp_object *o,
                               struct mp_handle_entry *entry, const struct mp_slot *dead) {
  struct barrier *b = (struct barrier *)(void *)o;
  struct generation *g = generation_at(c, w32_get(&entry->held));
  (void)dead;
  mp_mutex_lock(c, &o->lock);
  if (phase_of(g) == FILLING || phase_of(g) == ACTING) generation_break(c, b, g);
  generation_leave(c, b, g, entry);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &o->lock);
  mp_heap_free_doomed(c);
  mp_park_wake(c, &b->park, UINT32_MAX);
}

/* Nobody is inside: all that can be left are the generation that would fill, and the action. */
static void barrier_destroy(struct mp_context *c, struct mp_object *o) {
  struct barrier *b = (struct barrier *)(void *)o;
  mp_ref current = w32_get(&b->current), action = w32_get(&b->action);
  mp_mutex_lock(c, &o->lock);
  if (current != MP_NONE) generation_end(c, b, generation_at(c, current), BROKEN);
  mp_tx_set32(c, &b->action, MP_NONE);
  if (action != MP_NONE) mp_tx_doom(c, action, MP_BLOCK_MESSAGE);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &o->lock);
  mp_heap_free_doomed(c);
}

/* ---- the checker ---- */

static uint32_t count_inside(struct mp_context *c, const struct mp_object *o, mp_ref generation) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high), count = 0;
  for (uint32_t i = 0; i < high; i++) {
    const struct mp_handle_entry *entry = mp_object_entry(c, o, i + 1);
    count += entry != NULL && w32_get(&entry->held) == generation;
  }
  return count;
}

static const char *generation_check(struct mp_context *c, struct mp_object *o, mp_ref ref) {
  const struct barrier *b = (const struct barrier *)(const void *)o;
  const struct generation *g = generation_at(c, ref);
  bool open = phase_of(g) == FILLING || phase_of(g) == ACTING;
  bool current = ref == w32_get(&b->current);
  if (open != current) return "barrier: a generation is over and current, or neither";
  if (count_inside(c, o, ref) != w32_get(&g->inside)) return "barrier: who is inside is miscounted";
  if (open && w32_get(&g->inside) != w32_get(&g->arrived))
    return "barrier: somebody has left too early";
  if (!open && w32_get(&g->inside) == 0) return "barrier: a generation of nobody";
  return current && w32_get(&b->broken) != 0 ? "barrier: broken, and fills" : NULL;
}

static const char *barrier_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct barrier *b = (struct barrier *)(void *)o;
  const char *wrong = NULL;
  mp_ref prev = MP_NONE, ref = w32_get(&b->first);
  if (w32_get(&b->action) != MP_NONE) wrong = mp_walk_message(w, w32_get(&b->action));
  while (wrong == NULL && ref != MP_NONE) {
    wrong = mp_walk_block(w, ref);
    if (wrong == NULL) wrong = generation_check(c, o, ref);
    if (wrong == NULL && w32_get(&generation_at(c, ref)->prev) != prev)
      wrong = "barrier: the list's links do not match";
    prev = ref;
    ref = w32_get(&generation_at(c, ref)->next);
  }
  return wrong;
}

const struct mp_kind mp_barrier_kind = {"Barrier", barrier_owner_died, barrier_destroy,
                                        barrier_check};
