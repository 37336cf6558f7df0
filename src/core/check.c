/*
** The whole-arena check, written apart from the code that it checks.
**
** Structure: a private table of all blocks that the heap has in use. Then everything that can own
** a block is walked (slots, handle chains, objects by their kinds' checks) and ticks its blocks
** off; what is ticked twice has two owners, what is never ticked is a leak. On the way handles and
** tickets are counted for each object and compared with the object's own counts.
** Lock: none is taken; the arena must be quiet. Nothing shared is written.
*/
#include "check.h"

#include <stdlib.h>

#include "bell.h"
#include "object_layout.h"

struct block_note {
  mp_ref block;
  uint32_t owners, holders, mentions;
};

struct mp_walk {
  struct mp_context *c;
  struct block_note *note; /* open addressing, room is a power of two */
  size_t room, count;
};

static struct block_note *note_of(const struct mp_walk *w, mp_ref block) {
  size_t i = (block * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (w->room - 1);
  while (w->note[i].block != MP_NONE && w->note[i].block != block) i = (i + 1) & (w->room - 1);
  return &w->note[i];
}

static const char *walk_grow(struct mp_walk *w) {
  struct mp_walk bigger = {w->c, NULL, w->room == 0 ? 1024 : w->room * 2, w->count};
  bigger.note = calloc(bigger.room, sizeof *bigger.note);
  if (bigger.note == NULL) return "check: no memory to check with";
  for (size_t i = 0; i < w->room; i++)
    if (w->note[i].block != MP_NONE) *note_of(&bigger, w->note[i].block) = w->note[i];
  free(w->note);
  *w = bigger;
  return NULL;
}

static const char *walk_add(void *arg, mp_ref block) {
  struct mp_walk *w = arg;
  if (w->count * 2 >= w->room) {
    const char *wrong = walk_grow(w);
    if (wrong != NULL) return wrong;
  }
  note_of(w, block)->block = block;
  w->count++;
  return NULL;
}

const char *mp_walk_block(struct mp_walk *w, mp_ref block) {
  struct block_note *n = note_of(w, block);
  if (n->block == MP_NONE) return "check: something refers to a block that is not in use";
  if (n->owners++ > 0) return "check: a block has two owners";
  return NULL;
}

const char *mp_walk_mention(struct mp_walk *w, mp_ticket t) {
  if (mp_object_of_ticket(w->c, t) == NULL) return "check: an object that is gone is mentioned";
  note_of(w, (mp_ref)t.word[0])->mentions++;
  return NULL;
}

static const char *walk_tickets(struct mp_walk *w, mp_ref message) {
  struct mp_parcel p = mp_message_view(w->c, message);
  const struct mp_message *m = (const struct mp_message *)mp_at(w->c, message);
  uint32_t counted = w32_get(&m->counted);
  if (counted > p.ticket_count) return "check: a message counts more tickets than it has";
  const char *wrong = NULL;
  for (uint32_t i = 0; wrong == NULL && i < counted; i++) wrong = mp_walk_mention(w, p.tickets[i]);
  return wrong;
}

const char *mp_walk_message(struct mp_walk *w, mp_ref message) {
  const char *wrong = mp_walk_block(w, message);
  return wrong != NULL ? wrong : walk_tickets(w, message);
}

static const char *walk_object(void *arg, struct mp_object *o, bool dying) {
  struct mp_walk *w = arg;
  uint32_t kind = w32_get(&o->kind);
  if (kind == MP_KIND_NONE || kind >= MP_KINDS || mp_kinds[kind] == NULL)
    return "check: an object is of no kind";
  const char *wrong = mp_walk_block(w, mp_ref_of(w->c, o));
  if (wrong == NULL && !dying) wrong = mp_mutex_check(w->c, &o->lock);
  return wrong != NULL ? wrong : mp_kinds[kind]->check(w->c, o, w);
}

/* A block in a slot's pending or doomed list. */
static const char *walk_owned(struct mp_walk *w, const mp_w64 *entry) {
  mp_ref block = (mp_ref)w64_get(entry);
  if (block == MP_NONE) return NULL;
  switch ((enum mp_block_kind)(w64_get(entry) >> 32)) {
    case MP_BLOCK_MESSAGE:
      return mp_walk_message(w, block);
    case MP_BLOCK_OBJECT:
      return walk_object(w, (struct mp_object *)mp_at(w->c, block), true);
    case MP_BLOCK_PLAIN:
    default:
      return mp_walk_block(w, block);
  }
}

static const char *walk_entry(struct mp_walk *w, const struct mp_handle_entry *entry) {
  mp_ref ref = w32_get(&entry->ref);
  if (ref == MP_NONE) return NULL;
  struct block_note *n = note_of(w, ref);
  if (n->block == MP_NONE) return "check: a handle is on no object";
  n->holders++;
  return NULL;
}

static const char *walk_slot(struct mp_walk *w, const struct mp_slot *s) {
  const char *wrong = NULL;
  for (uint32_t k = 0; wrong == NULL && k < MP_OWNED_MAX; k++) {
    wrong = walk_owned(w, &s->pending[k]);
    if (wrong == NULL) wrong = walk_owned(w, &s->doomed[k]);
  }
  for (uint32_t k = 0; wrong == NULL && k < MP_SLOT_HANDLES; k++)
    wrong = walk_entry(w, &s->handle[k]);
  for (mp_ref ref = w32_get(&s->more_handles); wrong == NULL && ref != MP_NONE;) {
    const struct entry_block *b = (const struct entry_block *)mp_at(w->c, ref);
    wrong = mp_walk_block(w, ref);
    for (uint32_t k = 0; wrong == NULL && k < ENTRIES_IN_BLOCK; k++)
      wrong = walk_entry(w, &b->entry[k]);
    ref = w32_get(&b->next);
  }
  for (mp_ref ref = w32_get(&s->bells); wrong == NULL && ref != MP_NONE;) {
    wrong = mp_walk_block(w, ref);
    if (wrong == NULL) wrong = mp_bell_check(w->c, ref);
    ref = mp_bell_next(w->c, ref);
  }
  return wrong;
}

static uint64_t entries_held(const struct mp_handle_entry *e, uint32_t n, mp_ref ref) {
  uint64_t held = 0;
  for (uint32_t k = 0; k < n; k++)
    if (w32_get(&e[k].ref) == ref) held += w32_get(&e[k].held);
  return held;
}

uint64_t mp_walk_held(const struct mp_walk *w, const struct mp_object *o) {
  const struct mp_context *c = w->c;
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  mp_ref ref = mp_ref_of(c, o);
  uint64_t held = 0;
  for (uint32_t i = 0; i < high; i++) {
    const struct mp_slot *s = mp_slot_at(&c->arena, i);
    held += entries_held(s->handle, MP_SLOT_HANDLES, ref);
    for (mp_ref more = w32_get(&s->more_handles); more != MP_NONE;) {
      const struct entry_block *b = (const struct entry_block *)mp_at(c, more);
      held += entries_held(b->entry, ENTRIES_IN_BLOCK, ref);
      more = w32_get(&b->next);
    }
  }
  return held;
}

static const char *count_object(void *arg, struct mp_object *o, bool dying) {
  const struct mp_walk *w = arg;
  const struct block_note *n = note_of(w, mp_ref_of(w->c, o));
  if (w32_get(&o->holders) != n->holders) return "check: an object's holders are miscounted";
  if (w32_get(&o->mentions) != n->mentions) return "check: an object's mentions are miscounted";
  if (dying != (n->holders + n->mentions == 0)) return "check: an object is in the wrong list";
  return NULL;
}

static const char *walk_all(struct mp_walk *w) {
  struct mp_context *c = w->c;
  const char *wrong = walk_grow(w);
  if (wrong == NULL) wrong = mp_arena_check(&c->arena);
  if (wrong == NULL) wrong = mp_proctab_check(c);
  if (wrong == NULL) wrong = mp_heap_check(c, walk_add, w);
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; wrong == NULL && i < high; i++)
    wrong = walk_slot(w, mp_slot_at(&c->arena, i));
  if (wrong == NULL) wrong = mp_object_each(c, walk_object, w);
  if (wrong == NULL) wrong = mp_object_each(c, count_object, w);
  for (size_t i = 0; wrong == NULL && i < w->room; i++)
    if (w->note[i].block != MP_NONE && w->note[i].owners == 0)
      wrong = "check: a block in use has no owner";
  return wrong;
}

const char *mp_check_arena(struct mp_context *c) {
  struct mp_walk w = {c, NULL, 0, 0};
  const char *wrong = walk_all(&w);
  free(w.note);
  return wrong;
}
