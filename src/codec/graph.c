/*
** Identity: which tables, functions, userdata and upvalues this message has met.
**
** Entries stand in the order in which their objects were met, so their offsets rise: the envelope
** lists those that are met again without sorting. The first few are found by looking at each;
** beyond that an open-addressing hash of indices is kept, which starts small for each message.
**
** Pointers are good for the length of a message because every object is reachable from the values
** being encoded, or is held in the anchor table (what pack functions returned).
*/
#include <string.h>

#include "encode.h"

#define LINEAR 8u
#define FIRST_SLOTS 64u

static uint32_t pointer_hash(const void *p) {
  uint64_t h = ((uint64_t)(uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u;
  return (uint32_t)(h >> 32);
}

static void slots_fill(struct encoder *e, uint32_t count) {
  uint32_t i;
  e->slots = mp_codec_grow(e->L, e->state_index, SCRATCH_SLOTS, 0, count * sizeof *e->slots);
  memset(e->slots, 0, count * sizeof *e->slots);
  e->slot_mask = count - 1;
  for (i = 0; i < e->entry_count; i++) {
    uint32_t h = pointer_hash(e->entries[i].pointer) & e->slot_mask;
    while (e->slots[h]) h = (h + 1) & e->slot_mask;
    e->slots[h] = i + 1;
  }
}

static struct entry *entry_add(struct encoder *e, const void *pointer) {
  struct entry *entry;
  if (e->entry_count == e->entry_room) {
    size_t used = e->entry_count * sizeof *e->entries;
    e->entries = mp_codec_grow(e->L, e->state_index, SCRATCH_ENTRIES, used, used + 1);
    e->entry_room = (uint32_t)(e->state->scratch[SCRATCH_ENTRIES].size / sizeof *e->entries);
  }
  entry = &e->entries[e->entry_count++];
  entry->pointer = pointer;
  entry->offset = here(e);
  entry->state = ENTRY_ONCE;
  return entry;
}

static struct entry *linear_entry(struct encoder *e, const void *pointer, int *fresh) {
  uint32_t i;
  for (i = 0; i < e->entry_count; i++)
    if (e->entries[i].pointer == pointer) {
      *fresh = 0;
      return &e->entries[i];
    }
  *fresh = 1;
  return entry_add(e, pointer);
}

struct entry *mp_graph_entry(struct encoder *e, const void *pointer, int *fresh) {
  uint32_t h;
  if (e->entry_count < LINEAR) return linear_entry(e, pointer, fresh);
  if (e->slot_mask == 0) slots_fill(e, FIRST_SLOTS);
  else if (e->entry_count > e->slot_mask / 2) slots_fill(e, (e->slot_mask + 1) * 4);
  h = pointer_hash(pointer) & e->slot_mask;
  while (e->slots[h]) {
    struct entry *entry = &e->entries[e->slots[h] - 1];
    if (entry->pointer == pointer) {
      *fresh = 0;
      return entry;
    }
    h = (h + 1) & e->slot_mask;
  }
  e->slots[h] = e->entry_count + 1;
  *fresh = 1;
  return entry_add(e, pointer);
}

void mp_graph_truncate(struct encoder *e, uint32_t n) {
  e->entry_count = n;
  if (e->slot_mask > 0) slots_fill(e, e->slot_mask + 1);
}
