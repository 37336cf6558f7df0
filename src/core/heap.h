/*
** Heap: memory of the arena, in blocks.
**
** A block always has exactly one owner: the object graph, or a participant's pending (reserved,
** not yet published), doomed (removed, not yet freed) or magazine entry. Reserve, fill, and
** publish in the transaction that links the block; doom in the transaction that unlinks it, and
** free after unlocking. So a death leaks nothing: the cleaner frees what the slot lists.
*/
#ifndef MP_HEAP_H
#define MP_HEAP_H

#include "mutex.h"

#define MP_SPAN_BYTES UINT32_C(65536)

/* What the heap holds, in bytes. */
struct mp_heap_usage {
  uint64_t committed; /* memory taken from the system */
  uint64_t limit;
  uint64_t allocated; /* blocks in use, magazines included, rounded up to their classes */
};

/* Takes a block apart that is no plain one, so that it can be freed: what it owns or mentions is
** given up, and *entry, the pending or doomed word that owns it (perhaps in a dead participant's
** slot), says MP_BLOCK_PLAIN at the end. Resumable. By kind; in kinds.c. */
typedef void mp_releaser(struct mp_context *c, mp_w64 *entry, mp_ref block);
extern mp_releaser *const mp_releasers[MP_BLOCK_KINDS];

/* Bytes of the heap's region for an arena whose data region has that many. */
size_t mp_heap_bytes(size_t data_bytes);

/* Makes the heap's root. Called once, by the creator. */
MP_MUST_USE int mp_heap_init(struct mp_context *c);

/* Reserves a block of at least `bytes`; it stands in the slot's pending list as `kind`. Holds no
** mutex. -ENOMEM: the limit or the system's memory is reached, nothing has changed. */
MP_MUST_USE int mp_heap_reserve(struct mp_context *c, size_t bytes, enum mp_block_kind kind,
                                mp_ref *out);

/* Gives a reserved block back that was not published. Its kind's release comes first. */
void mp_heap_unreserve(struct mp_context *c, mp_ref block);

/* In a transaction: the reserved block now belongs to what links it. */
void mp_tx_publish(struct mp_context *c, mp_ref block);

/* In a transaction: the block, just unlinked, is the caller's to free. */
void mp_tx_doom(struct mp_context *c, mp_ref block, enum mp_block_kind kind);

/* The same two in a change that is planned and carried out (tx.h). A block that is kept is not
** freed before mp_heap_free_kept: its owner goes on reading it. */
void mp_tx_plan_publish(struct mp_context *c, mp_ref block);
void mp_tx_plan_doom(struct mp_context *c, mp_ref block, enum mp_block_kind kind, bool keep);

/* How many more blocks may be doomed before some are freed. */
static inline uint32_t mp_heap_doom_room(const struct mp_context *c) {
  return MP_OWNED_MAX - (uint32_t)__builtin_popcount(c->doomed);
}

/* Frees a block that was kept. In a forked child, where it is the parent's, nothing happens. */
void mp_heap_free_kept(struct mp_context *c, mp_ref block);

/* Frees what was doomed and is not kept; the caller holds no mutex. */
void mp_heap_free_doomed_slow(struct mp_context *c);
static inline void mp_heap_free_doomed(struct mp_context *c) {
  if (c->doomed != 0) mp_heap_free_doomed_slow(c);
}

/* The word of the slot that owns a pending block. */
mp_w64 *mp_heap_pending_entry(struct mp_context *c, mp_ref block);

/* Bytes that a block can hold. */
size_t mp_heap_room(const struct mp_context *c, mp_ref block);

/* Clean-up: frees all that a dead participant's slot owns. Resumable. */
void mp_heap_clean(struct mp_context *c, struct mp_slot *dead);

/* Returns all magazines of the caller to the centre; before it ends or sleeps for long. */
void mp_heap_flush(struct mp_context *c);

/* Gives free memory back to the system if nobody has asked for large blocks since the last call
** from this context. */
void mp_heap_trim(struct mp_context *c);

/* How many bytes of freed large blocks are kept at least for the next ones. At first a 64th of the
** limit, but 64 to 256 MiB. */
void mp_heap_set_keep(struct mp_context *c, size_t bytes);

struct mp_heap_usage mp_heap_usage(struct mp_context *c);

/* Proves the heap's invariants and calls visit (if not NULL) for each block that is in use and in
** no magazine. NULL, or what is wrong. For quiet moments. */
const char *mp_heap_check(struct mp_context *c, const char *(*visit)(void *arg, mp_ref block),
                          void *arg);

/* Is this a block in use? For checkers and tests; magazines count as in use. */
bool mp_heap_is_block(const struct mp_context *c, mp_ref block);

#endif
