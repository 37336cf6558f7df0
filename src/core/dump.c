/*
** Dump: what each participant holds, waits for and runs.
**
** It reads slots and their handle entries under registry.lock, under which entries come and go;
** what the participants themselves write without it (what they wait for, their names, how much
** they hold) may change meanwhile and is shown as it was seen. It changes nothing, so a death in
** the middle leaves nothing but the lock, which whoever wants it takes over.
*/
#include "dump.h"

#include <string.h>

#include "object_layout.h"

uint32_t mp_dump_slots(const struct mp_context *c) {
  return w32_get(&mp_proctab(&c->arena)->high);
}

static void copy_text(char *to, const char *from) {
  memcpy(to, from, MP_SLOT_NAME - 1);
  to[MP_SLOT_NAME - 1] = '\0';
}

/* Is the park at this offset inside of the object's block? */
static bool object_has(const struct mp_context *c, mp_ref ref, uint64_t offset) {
  uint64_t start = (uint64_t)ref * MP_GRANULE;
  return offset >= start && offset - start < mp_heap_room(c, ref);
}

/* In the line of a condition one sleeps on one's own bell. */
static bool waits_in_line(const struct mp_context *c, const struct mp_slot *slot,
                          const struct mp_object *o, uint32_t held) {
  return held != 0 && w32_get(&o->kind) == MP_KIND_CONDITION &&
         w64_get(&slot->waits) == mp_offset_of(c, &slot->bell);
}

static uint32_t holding(struct mp_context *c, const struct mp_slot *slot, const struct mp_object *o,
                        uint32_t held) {
  mp_holding *ask = mp_holdings[w32_get(&o->kind)];
  uint32_t index = (uint32_t)(slot - mp_slot_at(&c->arena, 0));
  return ask != NULL ? ask(c, o, held, mp_slot_tag(&c->arena, index)) : held;
}

static void note_entry(struct mp_context *c, const struct mp_slot *slot,
                       const struct mp_handle_entry *entry, struct mp_dump *out) {
  mp_ref ref = w32_get(&entry->ref);
  if (ref == MP_NONE) return;
  const struct mp_object *o = object_at(c, ref);
  const struct mp_kind *kind = mp_kinds[w32_get(&o->kind)];
  uint32_t held = w32_get(&entry->held);
  struct mp_dump_object one = {
      kind->name, w64_get(&o->id), holding(c, slot, o, held),
      object_has(c, ref, w64_get(&slot->waits)) || waits_in_line(c, slot, o, held)};
  out->handles++;
  if ((one.held != 0 || one.waits) && out->objects < MP_DUMP_OBJECTS)
    out->object[out->objects++] = one;
}

static void note_entries(struct mp_context *c, const struct mp_slot *slot, struct mp_dump *out) {
  for (uint32_t i = 0; i < MP_SLOT_HANDLES; i++) note_entry(c, slot, &slot->handle[i], out);
  for (mp_ref at = w32_get(&slot->more_handles); at != MP_NONE;) {
    const struct entry_block *b = (const struct entry_block *)mp_at(c, at);
    for (uint32_t i = 0; i < ENTRIES_IN_BLOCK; i++) note_entry(c, slot, &b->entry[i], out);
    at = w32_get(&b->next);
  }
}

bool mp_dump_slot(struct mp_context *c, uint32_t index, struct mp_dump *out) {
  const struct mp_slot *slot = mp_slot_at(&c->arena, index);
  uint64_t who = w64_get(&slot->who);
  if (mp_slot_state_of(who) == MP_SLOT_FREE) return false;
  memset(out, 0, sizeof *out);
  out->pid = mp_slot_pid(slot);
  out->state = mp_slot_state_of(who);
  copy_text(out->name, slot->name);
  copy_text(out->doing, slot->doing);
  out->waits = w64_get(&slot->waits) != 0;
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->lock);
  note_entries(c, slot, out);
  mp_mutex_unlock(c, &r->lock);
  return true;
}
