/*
** Dump: what a participant is doing, for people who look inside.
*/
#ifndef MP_DUMP_H
#define MP_DUMP_H

#include "object.h"

#define MP_DUMP_OBJECTS 16u

/* One participant. A snapshot: it may be old when it is read. */
struct mp_dump {
  int pid;
  enum mp_slot_state state;
  char name[MP_SLOT_NAME], doing[MP_SLOT_NAME];
  bool waits; /* it sleeps; perhaps on nothing that it has a handle of */
  uint32_t handles;
  struct mp_dump_object { /* those that it holds something of or waits for, the first ones */
    const char *kind;
    uint64_t id;
    uint32_t held;
    bool waits;
  } object[MP_DUMP_OBJECTS];
  uint32_t objects;
};

/* Slots 0 .. mp_dump_slots - 1 may be in use. */
uint32_t mp_dump_slots(const struct mp_context *c);
/* False: nobody is there. */
bool mp_dump_slot(struct mp_context *c, uint32_t index, struct mp_dump *out);

#endif
