/*
** Semaphore: a number of units that are there for the taking.
**
** Structure: `value` is how many are there. A plain semaphore is that word alone. An accounted one
** (bounded, or with undo) also has a table of records {who, how many units, since when}, so that
** the units of the dead come back; a participant's handle entry keeps the number of its record,
** plus 1, in `held`. A unit that is given back by somebody without a record is taken off the oldest
** one. Lock: a plain one needs none: one compare-and-swap; an accounted one's words are under
** object.lock and change in one transaction.
** Invariant: of a bounded one, value + the units of all records = bound. A record belongs to `tag`
** only while it has units; `held` may name a record that is another's by now, the record decides.
** Records keep their places when the table grows.
** Death: of one that has a record: its units go back to `value` and one transaction empties both
** record and entry. The units that a participant took of a plain one are gone with it.
*/
#include <errno.h>
#include <string.h>

#include "sync.h"

#define FIRST_RECORDS 8u
#define NO_ROOM (-1) /* from take_locked: the table of records has to grow */

struct record { /* shared; under object.lock */
  mp_w32 tag, units;
  mp_w64 since;
};

struct semaphore { /* shared */
  struct mp_object object;
  mp_w32 value;   /* atomic; of an accounted one under object.lock */
  mp_w32 bound;   /* fixed: the greatest value */
  mp_w32 flags;   /* fixed: MP_SEMAPHORE_... */
  mp_w32 room;    /* object.lock: how many records the table has room for */
  mp_w32 records; /* object.lock: the table; none of a plain one */
  struct mp_park park;
  mp_w64 last; /* object.lock: `since` of the youngest record */
};

static struct semaphore *semaphore_of(const struct mp_handle *h) {
  return (struct semaphore *)(void *)h->object;
}

static bool is_accounted(const struct semaphore *s) {
  return w32_get(&s->flags) != 0;
}

/* ---- records; object.lock is held ---- */

static struct record *record_at(struct mp_context *c, const struct semaphore *s, uint32_t i) {
  return (struct record *)mp_at(c, w32_get(&s->records)) + i;
}

/* The record that an entry's `held` names, if it is that participant's still. */
static struct record *record_held(struct mp_context *c, const struct semaphore *s, uint32_t held,
                                  uint32_t tag) {
  if (held == 0) return NULL;
  struct record *mine = record_at(c, s, held - 1);
  return w32_get(&mine->tag) == tag ? mine : NULL;
}

static struct record *record_free(struct mp_context *c, const struct semaphore *s) {
  for (uint32_t i = 0; i < w32_get(&s->room); i++)
    if (w32_get(&record_at(c, s, i)->units) == 0) return record_at(c, s, i);
  return NULL;
}

static struct record *record_oldest(struct mp_context *c, const struct semaphore *s) {
  struct record *oldest = NULL;
  for (uint32_t i = 0; i < w32_get(&s->room); i++) {
    struct record *one = record_at(c, s, i);
    if (w32_get(&one->units) == 0) continue;
    if (oldest == NULL || w64_get(&one->since) < w64_get(&oldest->since)) oldest = one;
  }
  return oldest;
}

/* In a transaction: a new record, of one unit to be. */
static void record_open(mp_semaphore *h, struct semaphore *s, struct record *r) {
  struct mp_context *c = h->context;
  uint64_t now = w64_get(&s->last) + 1;
  mp_tx_set64(c, &s->last, now);
  mp_tx_set64(c, &r->since, now);
  mp_tx_set32(c, &r->tag, c->tag);
  mp_tx_set32(c, &h->entry->held, (uint32_t)(r - record_at(c, s, 0)) + 1);
}

/* In a transaction. */
static void record_take_off(struct mp_context *c, struct record *r, uint32_t units) {
  uint32_t left = w32_get(&r->units) - units;
  mp_tx_set32(c, &r->units, left);
  if (left == 0) mp_tx_set32(c, &r->tag, 0);
}

/* ---- birth ---- */

static bool options_make_sense(const mp_semaphore_options *o) {
  return o->value <= MP_SEMAPHORE_MAX &&
         (o->flags & ~(unsigned)(MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_UNDO)) == 0;
}

/* Makes the table. Nobody sees the object yet. */
static int semaphore_account(struct mp_context *c, struct semaphore *s) {
  mp_ref table;
  size_t bytes = FIRST_RECORDS * sizeof(struct record);
  int r = mp_heap_reserve(c, bytes, MP_BLOCK_PLAIN, &table);
  if (r != 0) return r;
  memset(mp_at(c, table), 0, bytes);
  w32_put(&s->records, table);
  w32_put(&s->room, FIRST_RECORDS);
  return 0;
}

int mp_semaphore_new(struct mp_context *c, const mp_semaphore_options *o, mp_semaphore **out) {
  struct mp_handle *h;
  if (!options_make_sense(o)) return -EINVAL;
  int r = mp_object_new(c, MP_KIND_SEMAPHORE, sizeof(struct semaphore), &h);
  if (r != 0) return r;
  struct semaphore *s = semaphore_of(h);
  w32_put(&s->value, o->value);
  w32_put(&s->bound, o->flags & MP_SEMAPHORE_BOUNDED ? o->value : MP_SEMAPHORE_MAX);
  w32_put(&s->flags, o->flags);
  r = is_accounted(s) ? semaphore_account(c, s) : 0;
  if (r != 0) {
    mp_object_drop(h);
    return r;
  }
  mp_ref table = w32_get(&s->records);
  mp_object_publish(h, &table, table != MP_NONE);
  *out = h;
  return 0;
}

int mp_semaphore_open(struct mp_context *c, mp_ticket t, mp_semaphore **out) {
  return mp_sync_open(c, t, MP_KIND_SEMAPHORE, out);
}

unsigned mp_semaphore_flags(const mp_semaphore *h) {
  return w32_get(&semaphore_of(h)->flags);
}

void mp_semaphore_settle(mp_semaphore *h) {
  struct mp_context *c = h->context;
  struct semaphore *s = semaphore_of(h);
  uint32_t held = w32_get(&h->entry->held);
  if (held == 0) return;
  mp_mutex_lock(c, &s->object.lock);
  if (record_held(c, s, held, c->tag) == NULL) w32_put(&h->entry->held, 0);
  mp_mutex_unlock(c, &s->object.lock);
}

mp_semaphore *mp_semaphore_close(mp_semaphore *h) {
  if (h != NULL) mp_semaphore_settle(h);
  return mp_handle_close(h);
}

/* ---- the table grows ---- */

static int records_grow(struct mp_context *c, struct semaphore *s, uint32_t room) {
  mp_ref table, old = MP_NONE;
  size_t bytes = room * sizeof(struct record);
  int r = mp_heap_reserve(c, bytes * 2, MP_BLOCK_PLAIN, &table);
  if (r != 0) return r;
  unsigned char *at = (unsigned char *)mp_at(c, table);
  memset(at + bytes, 0, bytes);
  mp_mutex_lock(c, &s->object.lock);
  if (w32_get(&s->room) == room) {
    old = w32_get(&s->records);
    memcpy(at, mp_at(c, old), bytes);
    mp_tx_set32(c, &s->records, table);
    mp_tx_set32(c, &s->room, room * 2);
    mp_tx_publish(c, table);
    mp_tx_doom(c, old, MP_BLOCK_PLAIN);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &s->object.lock);
  if (old == MP_NONE) mp_heap_unreserve(c, table); /* somebody else was faster */
  mp_heap_free_doomed(c);
  return 0;
}

/* ---- acquire ---- */

static bool plain_take(struct semaphore *s) {
  uint32_t seen = w32_get_acquire(&s->value);
  while (seen != 0)
    if (w32_cas(&s->value, &seen, seen - 1)) return true;
  return false;
}

/* 0, MP_EMPTY or NO_ROOM. */
static int take_locked(mp_semaphore *h, struct semaphore *s) {
  struct mp_context *c = h->context;
  uint32_t value = w32_get(&s->value);
  if (value == 0) return MP_EMPTY;
  struct record *mine = record_held(c, s, w32_get(&h->entry->held), c->tag);
  if (mine == NULL) {
    mine = record_free(c, s);
    if (mine == NULL) return NO_ROOM;
    record_open(h, s, mine);
  }
  mp_tx_set32(c, &mine->units, w32_get(&mine->units) + 1);
  mp_tx_set32(c, &s->value, value - 1);
  mp_tx_commit(c);
  return 0;
}

/* Takes a unit if there is one: 0, MP_EMPTY, -ENOMEM. */
static int semaphore_take(mp_semaphore *h, struct semaphore *s) {
  struct mp_context *c = h->context;
  if (!is_accounted(s)) return plain_take(s) ? 0 : MP_EMPTY;
  for (;;) {
    mp_mutex_lock(c, &s->object.lock);
    int r = take_locked(h, s);
    uint32_t room = w32_get(&s->room);
    mp_mutex_unlock(c, &s->object.lock);
    if (r != NO_ROOM) return r;
    r = records_grow(c, s, room);
    if (r != 0) return r;
  }
}

/* The same for one who has slept. If it cannot take the unit, for want of memory, it passes the
** wake-up on: it may have been meant for one who can. */
static int semaphore_take_woken(mp_semaphore *h, struct semaphore *s) {
  int r = semaphore_take(h, s);
  if (mp_unlikely(r < 0)) mp_park_wake(h->context, &s->park, 1);
  return r;
}

static int semaphore_wait(mp_semaphore *h, struct semaphore *s, mp_deadline until) {
  for (unsigned nap = 0;;) {
    uint32_t seq = mp_park_ticket(&s->park);
    mp_park_announce(&s->park);
    int r = semaphore_take_woken(h, s);
    if (r != MP_EMPTY) return r;
    int woken = mp_park_wait(h->context, &s->park, seq, until, &nap);
    if (woken == 0) continue;
    r = semaphore_take_woken(h, s);
    return r == MP_EMPTY ? woken : r;
  }
}

int mp_semaphore_acquire(mp_semaphore *h, mp_deadline until) {
  struct semaphore *s = semaphore_of(h);
  int r = semaphore_take(h, s);
  if (mp_likely(r != MP_EMPTY)) return r;
  if (until == MP_NOW) {
    /* those who hold units may be dead and not known to be */
    if (!is_accounted(s) || h->context->tend == NULL) return MP_TIMEOUT;
    h->context->tend(h->context);
    r = semaphore_take(h, s);
    return r == MP_EMPTY ? MP_TIMEOUT : r;
  }
  if (mp_park_spin32(h->context, &s->value, 0)) {
    r = semaphore_take(h, s);
    if (r != MP_EMPTY) return r;
  }
  return semaphore_wait(h, s, until);
}

/* ---- release ---- */

static bool plain_give(struct semaphore *s) {
  uint32_t seen = w32_get(&s->value), bound = w32_get(&s->bound);
  while (seen < bound)
    if (w32_cas(&s->value, &seen, seen + 1)) return true;
  return false;
}

static bool give_locked(mp_semaphore *h, struct semaphore *s) {
  struct mp_context *c = h->context;
  uint32_t value = w32_get(&s->value), held = w32_get(&h->entry->held);
  if (value >= w32_get(&s->bound)) return false;
  struct record *mine = record_held(c, s, held, c->tag);
  struct record *charged = mine != NULL ? mine : record_oldest(c, s);
  if (charged != NULL) record_take_off(c, charged, 1);
  if (mine == NULL || w32_get(&mine->units) == 0) {
    if (held != 0) mp_tx_set32(c, &h->entry->held, 0);
  }
  mp_tx_set32(c, &s->value, value + 1);
  mp_tx_commit(c);
  return true;
}

static bool accounted_give(mp_semaphore *h, struct semaphore *s) {
  mp_mutex_lock(h->context, &s->object.lock);
  bool given = give_locked(h, s);
  mp_mutex_unlock(h->context, &s->object.lock);
  return given;
}

int mp_semaphore_release(mp_semaphore *h) {
  struct semaphore *s = semaphore_of(h);
  if (!(is_accounted(s) ? accounted_give(h, s) : plain_give(s))) return MP_LIMIT;
  mp_park_wake(h->context, &s->park, 1);
  return 0;
}

unsigned mp_semaphore_value(mp_semaphore *h) {
  struct semaphore *s = semaphore_of(h);
  if (!is_accounted(s)) return w32_get(&s->value);
  mp_mutex_lock(h->context, &s->object.lock);
  unsigned value = w32_get(&s->value);
  mp_mutex_unlock(h->context, &s->object.lock);
  return value;
}

/* The table may grow meanwhile: then an old one is read. */
uint32_t mp_semaphore_holding(struct mp_context *c, const struct mp_object *o, uint32_t held,
                              uint32_t tag) {
  const struct semaphore *s = (const struct semaphore *)(const void *)o;
  if (!is_accounted(s) || held > w32_get(&s->room)) return 0;
  const struct record *mine = record_held(c, s, held, tag);
  return mine != NULL ? w32_get(&mine->units) : 0;
}

/* ---- death and destruction ---- */

/* Gives a dead participant's units back; how many. */
static uint32_t units_return(struct mp_context *c, struct semaphore *s,
                             struct mp_handle_entry *entry, uint32_t tag) {
  uint32_t units = 0;
  mp_mutex_lock(c, &s->object.lock);
  struct record *theirs = record_held(c, s, w32_get(&entry->held), tag);
  if (theirs != NULL) {
    uint32_t room = w32_get(&s->bound) - w32_get(&s->value);
    uint32_t back = w32_get(&theirs->units);
    units = back < room ? back : room;
    mp_tx_set32(c, &s->value, w32_get(&s->value) + units);
    record_take_off(c, theirs, back);
  }
  mp_tx_set32(c, &entry->held, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &s->object.lock);
  return units;
}

static void semaphore_owner_died(struct mp_context *c, struct mp_object *o,
                                 struct mp_handle_entry *entry, const struct mp_slot *dead) {
  struct semaphore *s = (struct semaphore *)(void *)o;
  uint32_t index = (uint32_t)(dead - mp_slot_at(&c->arena, 0));
  uint32_t units = units_return(c, s, entry, mp_slot_tag(&c->arena, index));
  if (units != 0) mp_park_wake(c, &s->park, units);
}

static void semaphore_destroy(struct mp_context *c, struct mp_object *o) {
  struct semaphore *s = (struct semaphore *)(void *)o;
  mp_ref table = w32_get(&s->records);
  if (table == MP_NONE) return;
  mp_mutex_lock(c, &o->lock);
  mp_tx_set32(c, &s->records, MP_NONE);
  mp_tx_set32(c, &s->room, 0);
  mp_tx_doom(c, table, MP_BLOCK_PLAIN);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &o->lock);
  mp_heap_free_doomed(c);
}

/* ---- the checker ---- */

static const char *record_check(struct mp_context *c, struct mp_object *o, uint32_t i) {
  struct semaphore *s = (struct semaphore *)(void *)o;
  const struct record *r = record_at(c, s, i);
  uint32_t tag = w32_get(&r->tag);
  if ((tag == 0) != (w32_get(&r->units) == 0)) return "semaphore: units of nobody";
  if (tag == 0) return NULL;
  if (mp_slot_gone(c, tag)) return "semaphore: a dead one holds units";
  if (w64_get(&r->since) > w64_get(&s->last)) return "semaphore: a record of tomorrow";
  const struct mp_handle_entry *entry = mp_object_entry(c, o, tag);
  if (entry == NULL) return "semaphore: one without a handle holds units";
  return w32_get(&entry->held) == i + 1 ? NULL : "semaphore: a holder does not know its record";
}

static const char *semaphore_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct semaphore *s = (struct semaphore *)(void *)o;
  uint64_t sum = w32_get(&s->value);
  const char *wrong = NULL;
  if (sum > w32_get(&s->bound)) return "semaphore: more units than its bound";
  if (w32_get(&s->records) == MP_NONE) return NULL;
  wrong = mp_walk_block(w, w32_get(&s->records));
  for (uint32_t i = 0; wrong == NULL && i < w32_get(&s->room); i++) {
    wrong = record_check(c, o, i);
    sum += w32_get(&record_at(c, s, i)->units);
  }
  if (wrong != NULL) return wrong;
  if ((w32_get(&s->flags) & MP_SEMAPHORE_BOUNDED) && sum != w32_get(&s->bound))
    return "semaphore: units were lost or made";
  return NULL;
}

const struct mp_kind mp_semaphore_kind = {"Semaphore", semaphore_owner_died, semaphore_destroy,
                                          semaphore_check};
