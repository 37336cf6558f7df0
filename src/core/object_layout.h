/*
** What the sources of objects and handles share. Nobody else includes this.
*/
#ifndef MP_OBJECT_LAYOUT_H
#define MP_OBJECT_LAYOUT_H

#include "object.h"

#ifdef MP_TEST
#define ENTRIES_IN_BLOCK 6u /* as few as MP_SLOT_HANDLES, and for the same reason */
#else
#define ENTRIES_IN_BLOCK 126u
#endif

/* shared; root of MP_REGION_OBJECTS; under its lock */
struct registry {
  mp_mutex lock;
  mp_mutex bells; /* of all lists of bells */
  mp_w32 living, dying; /* first object of each list */
  mp_w64 last_id;
  mp_w32 count[MP_KINDS];
};

/* shared; further handle entries of a slot, newest block first; `next` under registry.lock */
struct entry_block {
  mp_w32 next, unused;
  struct mp_handle_entry entry[ENTRIES_IN_BLOCK];
};

/* private; handles stand together, as a fork's child writes to each of them */
#define HANDLES_IN_SHEET 72u
struct handle_sheet {
  struct handle_sheet *next;
  struct mp_handle handle[HANDLES_IN_SHEET];
};

/* private; the handles of one participant */
struct mp_handles {
  struct handle_sheet *sheets;
  struct mp_handle *spare; /* handles that are not in use */
  struct mp_handle **by_ref; /* open addressing, room is a power of two, at most half full */
  uint32_t room, count;
  struct entry_block **block; /* the chain's blocks by age, the oldest first */
  uint32_t blocks, blocks_room;
  uint32_t *free_index; /* entries that were used and are free again */
  uint32_t free_count, free_room;
  uint32_t high; /* entries below this have been used */
  mp_ref *child_block; /* between copy and adopt: the child's blocks, the oldest first */
};

static inline struct registry *registry_of(const struct mp_context *c) {
  return (struct registry *)mp_arena_region(&c->arena, MP_REGION_OBJECTS);
}
static inline struct mp_object *object_at(const struct mp_context *c, mp_ref ref) {
  return (struct mp_object *)mp_at(c, ref);
}

/* The object that a ticket names, or NULL. */
struct mp_object *mp_object_of_ticket(struct mp_context *c, mp_ticket t);
/* In a transaction under registry.lock: a new object joins the living. */
void mp_object_list_living(struct mp_context *c, struct mp_object *o);
/* In a transaction under registry.lock: one holder (-1) or mention less; the last one moves the
** object to the dying. True then: reap after unlocking. */
bool mp_object_release_one(struct mp_context *c, struct mp_object *o, mp_w32 *count);

#endif
