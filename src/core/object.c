/*
** Objects: birth, counts and death.
**
** Structure: all living objects are in one doubly linked list, all dying ones in another; both,
** the counts in the objects and the handle entries in the slots are under registry.lock.
** Invariant: holders = entries in all slots that name the object; mentions = tickets in published
** and reserved messages that are counted; an object with neither is in the list of the dying, or
** doomed by the participant that takes it apart.
** Death: each change is a transaction. An object on its way into the world stands in pending and
** is freed; one that is being taken apart stands in doomed, and the cleaner takes it apart
** further. Objects are taken apart from a list and not by recursion: a queue that holds queues
** that hold queues needs no depth.
*/
#include <string.h>

#include "object_layout.h"

size_t mp_objects_bytes(void) {
  return sizeof(struct registry);
}

int mp_objects_init(struct mp_context *c) {
  return mp_arena_commit(&c->arena, registry_of(c), sizeof(struct registry));
}

/* ---- the two lists, in a transaction ---- */

static void list_push(struct mp_context *c, mp_w32 *head, struct mp_object *o) {
  mp_ref first = w32_get(head), ref = mp_ref_of(c, o);
  mp_tx_set32(c, &o->next, first);
  mp_tx_set32(c, &o->prev, MP_NONE);
  if (first != MP_NONE) mp_tx_set32(c, &object_at(c, first)->prev, ref);
  mp_tx_set32(c, head, ref);
}

static void list_remove(struct mp_context *c, mp_w32 *head, struct mp_object *o) {
  mp_ref next = w32_get(&o->next), prev = w32_get(&o->prev);
  mp_tx_set32(c, prev == MP_NONE ? head : &object_at(c, prev)->next, next);
  if (next != MP_NONE) mp_tx_set32(c, &object_at(c, next)->prev, prev);
}

void mp_object_list_living(struct mp_context *c, struct mp_object *o) {
  struct registry *r = registry_of(c);
  mp_w32 *count = &r->count[w32_get(&o->kind)];
  list_push(c, &r->living, o);
  mp_tx_set32(c, count, w32_get(count) + 1);
}

bool mp_object_release_one(struct mp_context *c, struct mp_object *o, mp_w32 *count) {
  struct registry *r = registry_of(c);
  MP_ASSERT(w32_get(count) > 0);
  mp_tx_set32(c, count, w32_get(count) - 1);
  if (w32_get(&o->holders) != 0 || w32_get(&o->mentions) != 0) return false;
  list_remove(c, &r->living, o);
  list_push(c, &r->dying, o);
  return true;
}

/* ---- mentions in messages ---- */

struct mp_object *mp_object_of_ticket(struct mp_context *c, mp_ticket t) {
  mp_ref ref = (mp_ref)t.word[0];
  if (t.word[0] >> 32 != 0 || !mp_heap_is_block(c, ref)) return NULL;
  struct mp_object *o = object_at(c, ref);
  return w64_get(&o->id) == t.word[1] && t.word[1] != 0 ? o : NULL;
}

int mp_object_mention(struct mp_context *c, mp_ticket t, mp_w32 *counted) {
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->lock);
  struct mp_object *o = mp_object_of_ticket(c, t);
  if (o != NULL) {
    mp_tx_set32(c, &o->mentions, w32_get(&o->mentions) + 1);
    mp_tx_set32(c, counted, w32_get(counted) + 1);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &r->lock);
  return o != NULL ? 0 : MP_FOREIGN;
}

void mp_object_forget(struct mp_context *c, mp_ticket t, mp_w32 *counted) {
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->lock);
  struct mp_object *o = mp_object_of_ticket(c, t);
  MP_ASSERT(o != NULL);
  (void)mp_object_release_one(c, o, &o->mentions);
  mp_tx_set32(c, counted, w32_get(counted) - 1);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
}

/* ---- the end ---- */

/* Moves one dying object into our doomed list. */
static bool dying_take(struct mp_context *c) {
  struct registry *r = registry_of(c);
  if (w32_get(&r->dying) == MP_NONE) return false;
  mp_mutex_lock(c, &r->lock);
  mp_ref ref = w32_get(&r->dying);
  if (ref != MP_NONE) {
    struct mp_object *o = object_at(c, ref);
    mp_w32 *count = &r->count[w32_get(&o->kind)];
    list_remove(c, &r->dying, o);
    mp_tx_set32(c, count, w32_get(count) - 1);
    mp_tx_doom(c, ref, MP_BLOCK_OBJECT);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &r->lock);
  return ref != MP_NONE;
}

void mp_object_reap(struct mp_context *c) {
  if (c->reaping) return;
  c->reaping = true;
  while (dying_take(c)) mp_heap_free_doomed(c);
  c->reaping = false;
}

void mp_object_release(struct mp_context *c, mp_w64 *entry, mp_ref block) {
  struct mp_object *o = object_at(c, block);
  const struct mp_kind *kind = mp_kinds[w32_get(&o->kind)];
  if (kind->destroy != NULL) kind->destroy(c, o);
  w64_put(&o->id, 0);
  w64_put(entry, block | (uint64_t)MP_BLOCK_PLAIN << 32);
}

void mp_object_counts(struct mp_context *c, uint32_t count[MP_KINDS]) {
  for (uint32_t k = 0; k < MP_KINDS; k++) count[k] = w32_get(&registry_of(c)->count[k]);
}

static const char *list_each(struct mp_context *c, const mp_w32 *head, bool dying,
                             const char *(*visit)(void *, struct mp_object *, bool), void *arg) {
  mp_ref prev = MP_NONE;
  for (mp_ref ref = w32_get(head); ref != MP_NONE;) {
    struct mp_object *o = object_at(c, ref);
    if (!mp_heap_is_block(c, ref)) return "object: a list names what is no block";
    if (w32_get(&o->prev) != prev) return "object: a list's links do not match";
    const char *wrong = visit(arg, o, dying);
    if (wrong != NULL) return wrong;
    prev = ref;
    ref = w32_get(&o->next);
  }
  return NULL;
}

const char *mp_object_each(struct mp_context *c,
                           const char *(*visit)(void *arg, struct mp_object *o, bool dying),
                           void *arg) {
  struct registry *r = registry_of(c);
  const char *wrong = mp_mutex_check(c, &r->lock);
  if (wrong == NULL) wrong = list_each(c, &r->living, false, visit, arg);
  return wrong != NULL ? wrong : list_each(c, &r->dying, true, visit, arg);
}
