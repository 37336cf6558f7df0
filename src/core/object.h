/*
** Object: what every shared object starts with, and who has it.
**
** An object lives as long as a participant holds a handle on it or a message mentions it. Each
** participant that has it lists it once in its slot: an entry {reference, held}. The entry and
** the object's count of holders change in one transaction, so that a cleaner can take a dead
** participant's entries away one by one and the count is never off. `held` belongs to the kind:
** what this participant has to give back (a lock, units, a turn). What messages mention is
** counted the same way, in the message (message.h). At no holder and no message the object
** moves to the list of the dying, and whoever comes next takes it apart.
** A cycle (a queue in itself) is not collected before the session ends.
*/
#ifndef MP_OBJECT_H
#define MP_OBJECT_H

#include "heap.h"

enum mp_object_kind {
  MP_KIND_NONE,
  MP_KIND_LOCK,
  MP_KIND_RLOCK,
  MP_KIND_SEMAPHORE,
  MP_KIND_EVENT,
  MP_KIND_CONDITION,
  MP_KIND_BARRIER,
  MP_KIND_QUEUE,
  MP_KIND_PIPE,
  MP_KIND_ARRAY,
  MP_KIND_POOL,
  MP_KINDS
};

/* shared; the first member of every shared object */
struct mp_object {
  mp_w32 kind;       /* fixed */
  mp_mutex lock;     /* the object's own; the counts and links below are under registry.lock */
  mp_w32 holders;    /* participants that have a handle */
  mp_w32 mentions;   /* tickets in messages */
  mp_w32 next, prev; /* list of the living, or of the dying */
  mp_w64 id;         /* fixed; never used again in this session */
};

/* private; one participant's hold on an object, shared by all that use it in this context */
struct mp_handle {
  struct mp_context *context;
  union {
    struct mp_object *object;
    struct mp_handle *next; /* of a spare one */
  };
  struct mp_handle_entry *entry; /* in our slot */
  mp_ref ref;
  uint32_t index; /* of the entry */
  uint32_t users; /* how many mp_handle_close are due */
  struct mp_bell *bell; /* bell.c: NULL while none is wanted */
};

struct mp_walk; /* a whole-arena check under way (check.c) */

/* What a kind of object can do. All functions are resumable: their caller may die, and another
** participant calls again. They run with no mutex held. */
struct mp_kind {
  const char *name;
  /* `entry` is of a participant that died or left with entry->held != 0; afterwards it is 0. NULL
  ** for kinds that never set held. */
  void (*owner_died)(struct mp_context *c, struct mp_object *o, struct mp_handle_entry *entry,
                     const struct mp_slot *dead);
  /* Frees all that the object owns, but not the object itself. May be NULL. */
  void (*destroy)(struct mp_context *c, struct mp_object *o);
  /* Proves the object's invariants, and names each block that it owns by mp_walk_block or
  ** mp_walk_message. NULL, or what is wrong. For quiet moments. */
  const char *(*check)(struct mp_context *c, struct mp_object *o, struct mp_walk *w);
};

/* By kind; in kinds.c, the one place that knows them all. */
extern const struct mp_kind *const mp_kinds[MP_KINDS];

/* How much of the object a participant holds, for people who look inside: `held` is its entry's.
** Reads without a lock what may change meanwhile. By kind, in kinds.c; NULL: `held` itself. */
typedef uint32_t mp_holding(struct mp_context *c, const struct mp_object *o, uint32_t held,
                            uint32_t tag);
extern mp_holding *const mp_holdings[MP_KINDS];

size_t mp_objects_bytes(void);
MP_MUST_USE int mp_objects_init(struct mp_context *c);

/* A context's private book of handles. -ENOMEM. */
MP_MUST_USE int mp_handles_open(struct mp_context *c);
void mp_handles_close(struct mp_context *c); /* private memory only: the slot is cleaned later */

/* Reserves a zeroed object of `bytes` that nobody can see yet, and a handle for it. The caller
** fills it in, then publishes, or drops it. -ENOMEM. */
MP_MUST_USE int mp_object_new(struct mp_context *c, enum mp_object_kind kind, size_t bytes,
                              struct mp_handle **out);
/* The object and the n reserved blocks that it refers to become real at once. */
void mp_object_publish(struct mp_handle *h, const mp_ref *blocks, size_t n);
/* Instead of publishing: gives the object back (its further blocks are the caller's). */
void mp_object_drop(struct mp_handle *h);

/* A handle for an object that is certainly alive: by one's own handle, or a message one has.
** MP_FOREIGN: the ticket names nothing of this session. -ENOMEM. */
MP_MUST_USE int mp_handle_open(struct mp_context *c, mp_ticket t, struct mp_handle **out);
static inline struct mp_handle *mp_handle_share(struct mp_handle *h) {
  h->users++;
  return h;
}
/* Ends one use; the last one gives the object up, unless something is still held: then the
** participant keeps it till that is given back or the participant ends. NULL is fine. */
struct mp_handle *mp_handle_close(struct mp_handle *h);

mp_ticket mp_handle_ticket(const struct mp_handle *h);

/* A message mentions the object, or no longer does; *counted, in the message, counts along.
** mp_object_mention: MP_FOREIGN if the ticket names nothing. */
MP_MUST_USE int mp_object_mention(struct mp_context *c, mp_ticket t, mp_w32 *counted);
void mp_object_forget(struct mp_context *c, mp_ticket t, mp_w32 *counted);

/* Takes dying objects apart, whoever's they were. Called with no mutex held. */
void mp_object_reap(struct mp_context *c);
/* mp_releasers' entry for MP_BLOCK_OBJECT. */
void mp_object_release(struct mp_context *c, mp_w64 *entry, mp_ref block);

/* Clean-up: gives back what a dead participant held and had. Resumable. */
void mp_handles_clean(struct mp_context *c, struct mp_slot *dead);

/* Fork: copies the caller's list of handles into the child's reserved slot, and in the child,
** once it has adopted the slot, makes the handles its own. -ENOMEM: what was copied is cleaned
** with the slot. */
MP_MUST_USE int mp_handles_copy(struct mp_context *c, struct mp_slot *child);
void mp_handles_adopt(struct mp_context *c);

/* For checkers: the entry by which the participant `tag` has the object, or NULL. */
const struct mp_handle_entry *mp_object_entry(struct mp_context *c, const struct mp_object *o,
                                              uint32_t tag);

/* How many objects of each kind there are. */
void mp_object_counts(struct mp_context *c, uint32_t count[MP_KINDS]);

/* For checkers: calls visit for each object, the dying ones with dying = true. */
const char *mp_object_each(struct mp_context *c,
                           const char *(*visit)(void *arg, struct mp_object *o, bool dying),
                           void *arg);

#endif
