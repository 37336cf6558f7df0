/*
** Handles: which objects a participant has, in shared memory for its cleaner and in private
** memory for itself.
**
** Structure: entries {reference, held} in the slot and in a chain of blocks behind it; the private
** book finds a handle by its object's reference and an entry by its index; the handles stand in
** sheets. A child made by fork gets a copy of the list, entry for entry, so that its handles keep
** their indices. Lock: registry.lock for entries' references and the chain; `held` is the kind's.
** Invariant: an entry with a reference counts as one of that object's holders.
** Death: mp_handles_clean walks the entries: what was held goes back by the kind's owner_died,
** then entry and count go in one transaction; at last the chain's blocks. A reserved slot whose
** parent dies in mid-copy is cleaned the same way.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bell.h"
#include "object_layout.h"

/* ---- the private book ---- */

int mp_handles_open(struct mp_context *c) {
  struct mp_handles *b = calloc(1, sizeof *b);
  if (b == NULL) return -ENOMEM;
  b->room = 16;
  b->by_ref = calloc(b->room, sizeof *b->by_ref);
  if (b->by_ref == NULL) {
    free(b);
    return -ENOMEM;
  }
  c->handles = b;
  return 0;
}

static void sheets_free(struct handle_sheet *sheet) {
  while (sheet != NULL) {
    struct handle_sheet *next = sheet->next;
    free(sheet);
    sheet = next;
  }
}

void mp_handles_close(struct mp_context *c) {
  struct mp_handles *b = c->handles;
  if (b == NULL) return;
  for (uint32_t i = 0; i < b->room; i++)
    if (b->by_ref[i] != NULL) mp_bell_forget(b->by_ref[i]);
  sheets_free(b->sheets);
  free(b->by_ref);
  free(b->block);
  free(b->free_index);
  free(b->child_block);
  free(b);
  c->handles = NULL;
}

static void handle_give(struct mp_handles *b, struct mp_handle *h) {
  h->next = b->spare;
  b->spare = h;
}

/* A spare handle, or NULL. */
static struct mp_handle *handle_take(struct mp_handles *b) {
  if (b->spare == NULL) {
    struct handle_sheet *sheet = malloc(sizeof *sheet);
    if (sheet == NULL) return NULL;
    sheet->next = b->sheets;
    b->sheets = sheet;
    for (uint32_t i = HANDLES_IN_SHEET; i > 0; i--) handle_give(b, &sheet->handle[i - 1]);
  }
  struct mp_handle *h = b->spare;
  b->spare = h->next;
  return h;
}

static uint32_t book_place(const struct mp_handles *b, mp_ref ref) {
  uint32_t i = (ref * UINT32_C(2654435761)) >> 8 & (b->room - 1);
  while (b->by_ref[i] != NULL && b->by_ref[i]->ref != ref) i = (i + 1) & (b->room - 1);
  return i;
}

static int book_grow(struct mp_handles *b) {
  if ((b->count + 1) * 2 <= b->room) return 0;
  struct mp_handles bigger = *b;
  bigger.room = b->room * 2;
  bigger.by_ref = calloc(bigger.room, sizeof *bigger.by_ref);
  if (bigger.by_ref == NULL) return -ENOMEM;
  for (uint32_t i = 0; i < b->room; i++)
    if (b->by_ref[i] != NULL) bigger.by_ref[book_place(&bigger, b->by_ref[i]->ref)] = b->by_ref[i];
  struct mp_handle **smaller = b->by_ref;
  b->by_ref = bigger.by_ref;
  b->room = bigger.room;
  free(smaller);
  return 0;
}

/* Takes a handle out; those behind it in its run of places move up. */
static void book_remove(struct mp_handles *b, mp_ref ref) {
  uint32_t hole = book_place(b, ref);
  b->by_ref[hole] = NULL;
  b->count--;
  for (uint32_t i = (hole + 1) & (b->room - 1); b->by_ref[i] != NULL; i = (i + 1) & (b->room - 1)) {
    struct mp_handle *h = b->by_ref[i];
    b->by_ref[i] = NULL;
    b->by_ref[book_place(b, h->ref)] = h;
  }
}

static struct mp_handle_entry *entry_at(const struct mp_context *c, uint32_t index) {
  if (index < MP_SLOT_HANDLES) return &c->slot->handle[index];
  index -= MP_SLOT_HANDLES;
  return &c->handles->block[index / ENTRIES_IN_BLOCK]->entry[index % ENTRIES_IN_BLOCK];
}

/* ---- entries ---- */

static int grow_array(void *array, uint32_t *room, uint32_t need, size_t size) {
  if (need <= *room) return 0;
  uint32_t bigger = *room < 8 ? 8 : *room * 2;
  void *old, *new;
  memcpy(&old, array, sizeof old);
  new = realloc(old, bigger * size);
  if (new == NULL) return -ENOMEM;
  memcpy(array, &new, sizeof new);
  *room = bigger;
  return 0; /* cppcheck-suppress memleak ; the copy of its bytes in `array` owns it */
}

/* Puts one more block in front of a slot's chain: ours, or that of a child in the making. */
static int chain_grow(struct mp_context *c, struct mp_slot *slot, mp_ref *out) {
  struct registry *r = registry_of(c);
  mp_ref ref;
  int e = mp_heap_reserve(c, sizeof(struct entry_block), MP_BLOCK_PLAIN, &ref);
  if (e != 0) return e;
  struct entry_block *b = (struct entry_block *)mp_at(c, ref);
  memset(b, 0, sizeof *b);
  mp_mutex_lock(c, &r->lock);
  w32_put(&b->next, w32_get(&slot->more_handles));
  mp_tx_set32(c, &slot->more_handles, ref);
  mp_tx_publish(c, ref);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
  *out = ref;
  return 0;
}

/* Finds a free entry and makes sure that giving it back needs no memory. */
static int entry_new(struct mp_context *c, uint32_t *index) {
  struct mp_handles *b = c->handles;
  if (b->free_count > 0) {
    *index = b->free_index[--b->free_count];
    return 0;
  }
  int r = grow_array(&b->free_index, &b->free_room, b->high + 1, sizeof *b->free_index);
  if (r != 0) return r;
  if (b->high >= MP_SLOT_HANDLES && (b->high - MP_SLOT_HANDLES) / ENTRIES_IN_BLOCK >= b->blocks) {
    mp_ref ref;
    r = grow_array(&b->block, &b->blocks_room, b->blocks + 1, sizeof *b->block);
    if (r == 0) r = chain_grow(c, c->slot, &ref);
    if (r != 0) return r;
    b->block[b->blocks++] = (struct entry_block *)mp_at(c, ref);
  }
  *index = b->high++;
  return 0;
}

static void entry_give(struct mp_context *c, uint32_t index) {
  c->handles->free_index[c->handles->free_count++] = index;
}

/* A private handle with an entry, for an object that is not in the book. */
static int handle_make(struct mp_context *c, mp_ref ref, struct mp_handle **out) {
  uint32_t index;
  struct mp_handle *h = handle_take(c->handles);
  if (h == NULL) return -ENOMEM;
  int r = book_grow(c->handles);
  if (r == 0) r = entry_new(c, &index);
  if (r != 0) {
    handle_give(c->handles, h);
    return r;
  }
  *h = (struct mp_handle){c, {object_at(c, ref)}, entry_at(c, index), ref, index, 1, NULL};
  c->handles->by_ref[book_place(c->handles, ref)] = h;
  c->handles->count++;
  *out = h;
  return 0;
}

static void handle_unmake(struct mp_handle *h) {
  struct mp_context *c = h->context;
  book_remove(c->handles, h->ref);
  entry_give(c, h->index);
  handle_give(c->handles, h);
}

/* ---- objects and their first handle ---- */

int mp_object_new(struct mp_context *c, enum mp_object_kind kind, size_t bytes,
                  struct mp_handle **out) {
  mp_ref ref;
  int r = mp_heap_reserve(c, bytes, MP_BLOCK_PLAIN, &ref);
  if (r != 0) return r;
  r = handle_make(c, ref, out);
  if (r != 0) {
    mp_heap_unreserve(c, ref);
    return r;
  }
  memset((*out)->object, 0, bytes);
  w32_put(&(*out)->object->kind, kind);
  return 0;
}

void mp_object_publish(struct mp_handle *h, const mp_ref *blocks, size_t n) {
  struct mp_context *c = h->context;
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->lock);
  uint64_t id = w64_get(&r->last_id) + 1;
  w64_put(&h->object->id, id);
  w32_put(&h->object->holders, 1);
  mp_tx_set64(c, &r->last_id, id);
  mp_object_list_living(c, h->object);
  mp_tx_set32(c, &h->entry->ref, h->ref);
  mp_tx_publish(c, h->ref);
  for (size_t i = 0; i < n; i++) mp_tx_publish(c, blocks[i]);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
}

void mp_object_drop(struct mp_handle *h) {
  struct mp_context *c = h->context;
  mp_ref ref = h->ref;
  handle_unmake(h);
  mp_heap_unreserve(c, ref);
}

int mp_handle_open(struct mp_context *c, mp_ticket t, struct mp_handle **out) {
  struct registry *r = registry_of(c);
  mp_ref ref = (mp_ref)t.word[0];
  struct mp_object *o = mp_object_of_ticket(c, t);
  if (o == NULL) return MP_FOREIGN;
  struct mp_handle *known = c->handles->by_ref[book_place(c->handles, ref)];
  if (known != NULL) {
    *out = mp_handle_share(known);
    return 0;
  }
  struct mp_handle *h;
  int e = handle_make(c, ref, &h);
  if (e != 0) return e;
  mp_mutex_lock(c, &r->lock);
  mp_tx_set32(c, &o->holders, w32_get(&o->holders) + 1);
  mp_tx_set32(c, &h->entry->ref, ref);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
  *out = h;
  return 0;
}

mp_ticket mp_handle_ticket(const struct mp_handle *h) {
  return (mp_ticket){{h->ref, w64_get(&h->object->id)}};
}

/* One transaction: the entry is free, and the object has a holder less. */
static void entry_drop(struct mp_context *c, struct mp_handle_entry *entry) {
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->lock);
  struct mp_object *o = object_at(c, w32_get(&entry->ref));
  (void)mp_object_release_one(c, o, &o->holders);
  mp_tx_set32(c, &entry->ref, MP_NONE);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
}

struct mp_handle *mp_handle_close(struct mp_handle *h) {
  if (h == NULL) return NULL;
  struct mp_context *c = h->context;
  MP_ASSERT(h->users > 0);
  if (--h->users > 0 || w32_get(&h->entry->held) != 0) return NULL;
  mp_bell_close(h); /* it hangs on the object, which the entry keeps alive */
  entry_drop(c, h->entry);
  handle_unmake(h);
  mp_object_reap(c);
  return NULL;
}

/* ---- clean-up ---- */

static void entry_clean(struct mp_context *c, struct mp_handle_entry *entry,
                        const struct mp_slot *dead) {
  mp_ref ref = w32_get(&entry->ref);
  if (ref == MP_NONE) return;
  struct mp_object *o = object_at(c, ref);
  const struct mp_kind *kind = mp_kinds[w32_get(&o->kind)];
  if (w32_get(&entry->held) != 0) kind->owner_died(c, o, entry, dead);
  MP_ASSERT(w32_get(&entry->held) == 0);
  entry_drop(c, entry);
}

static void chain_clean(struct mp_context *c, struct mp_slot *dead) {
  struct registry *r = registry_of(c);
  mp_ref ref = w32_get(&dead->more_handles);
  if (ref == MP_NONE) return;
  struct entry_block *b = (struct entry_block *)mp_at(c, ref);
  for (uint32_t i = 0; i < ENTRIES_IN_BLOCK; i++) entry_clean(c, &b->entry[i], dead);
  mp_mutex_lock(c, &r->lock);
  mp_tx_set32(c, &dead->more_handles, w32_get(&b->next));
  mp_tx_doom(c, ref, MP_BLOCK_PLAIN);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->lock);
  mp_heap_free_doomed(c);
}

void mp_handles_clean(struct mp_context *c, struct mp_slot *dead) {
  for (uint32_t i = 0; i < MP_SLOT_HANDLES; i++) entry_clean(c, &dead->handle[i], dead);
  while (w32_get(&dead->more_handles) != MP_NONE) chain_clean(c, dead);
  mp_object_reap(c);
}

const struct mp_handle_entry *mp_object_entry(struct mp_context *c, const struct mp_object *o,
                                              uint32_t tag) {
  const struct mp_slot *s = mp_slot_at(&c->arena, mp_tag_index(tag));
  mp_ref wanted = mp_ref_of(c, o);
  for (uint32_t i = 0; i < MP_SLOT_HANDLES; i++)
    if (w32_get(&s->handle[i].ref) == wanted) return &s->handle[i];
  for (mp_ref ref = w32_get(&s->more_handles); ref != MP_NONE;) {
    const struct entry_block *b = (const struct entry_block *)mp_at(c, ref);
    for (uint32_t i = 0; i < ENTRIES_IN_BLOCK; i++)
      if (w32_get(&b->entry[i].ref) == wanted) return &b->entry[i];
    ref = w32_get(&b->next);
  }
  return NULL;
}

/* ---- fork ---- */

static struct mp_handle_entry *child_entry(const struct mp_context *c, struct mp_slot *child,
                                           uint32_t index) {
  if (index < MP_SLOT_HANDLES) return &child->handle[index];
  index -= MP_SLOT_HANDLES;
  MP_ASSERT(c->handles->child_block != NULL); /* there are blocks, as there is such an index */
  struct entry_block *b =
      (struct entry_block *)mp_at(c, c->handles->child_block[index / ENTRIES_IN_BLOCK]);
  return &b->entry[index % ENTRIES_IN_BLOCK];
}

int mp_handles_copy(struct mp_context *c, struct mp_slot *child) {
  struct mp_handles *b = c->handles;
  struct registry *r = registry_of(c);
  if (b->child_block != NULL) free(b->child_block); /* nothing is stored where there is nothing */
  if (b->child_block != NULL || b->blocks != 0)
    b->child_block = b->blocks == 0 ? NULL : malloc(b->blocks * sizeof *b->child_block);
  if (b->blocks != 0 && b->child_block == NULL) return -ENOMEM;
  for (uint32_t i = 0; i < b->blocks; i++) {
    int e = chain_grow(c, child, &b->child_block[i]);
    if (e != 0) return e;
  }
  mp_mutex_lock(c, &r->lock);
  for (uint32_t i = 0; i < b->room; i++) {
    const struct mp_handle *h = b->by_ref[i];
    if (h == NULL || h->users == 0) continue;
    mp_tx_set32(c, &h->object->holders, w32_get(&h->object->holders) + 1);
    mp_tx_set32(c, &child_entry(c, child, h->index)->ref, h->ref);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &r->lock);
  return 0;
}

/* What its parent kept only because it held something is not the child's. */
static void book_forget_unused(struct mp_handles *b) {
  for (uint32_t i = 0; i < b->room; i++) {
    struct mp_handle *h = b->by_ref[i];
    if (h == NULL || h->users > 0) continue;
    b->free_index[b->free_count++] = h->index;
    book_remove(b, h->ref);
    handle_give(b, h);
    i = UINT32_MAX; /* places have moved: look again from the start */
  }
}

void mp_handles_adopt(struct mp_context *c) {
  struct mp_handles *b = c->handles;
  for (uint32_t i = 0; i < b->blocks; i++)
    b->block[i] = (struct entry_block *)mp_at(c, b->child_block[i]);
  for (uint32_t i = 0; i < b->room; i++)
    if (b->by_ref[i] != NULL) mp_bell_forget(b->by_ref[i]); /* the parent's */
  book_forget_unused(b);
  for (uint32_t i = 0; i < b->room; i++)
    if (b->by_ref[i] != NULL) b->by_ref[i]->entry = entry_at(c, b->by_ref[i]->index);
}
