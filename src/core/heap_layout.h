/*
** What the heap's sources share: its root, spans and size classes. Nobody else includes this.
*/
#ifndef MP_HEAP_LAYOUT_H
#define MP_HEAP_LAYOUT_H

#include "heap.h"

#define SPAN_GRANULES (MP_SPAN_BYTES / MP_GRANULE)
#define RUN_BINS 21u          /* free runs of 2^i .. 2^(i+1)-1 spans */
#define NO_SPAN UINT32_C(0xffffffff)

/* span.use: what a span is, BARE, and a length (runs) or class (small) above bit 4 */
enum span_kind { SPAN_INSIDE, SPAN_FREE, SPAN_FREE_TAIL, SPAN_RUN, SPAN_SMALL };
#define SPAN_BARE 8u /* the run has no memory yet, or no longer */

/* shared; one for each span of the data region; under heap.lock. next and prev link free runs
** (first span) in their bin and small spans with room in their class; span number + 1. */
struct span {
  mp_w32 use, next, prev, unused;
};

/* shared; the start of a small span; under heap.lock, but `count` is fixed */
struct small_span {
  mp_w32 count; /* blocks in the span */
  mp_w32 free;  /* how many of them are free */
  mp_w32 first; /* granules before the first block */
  mp_w32 unused;
  mp_w64 used[]; /* a bit for each block; magazines' blocks count as used */
};

/* shared; root of MP_REGION_HEAP, the span table follows it; under heap.lock, unless said */
struct heap {
  mp_mutex lock;
  mp_w32 spans;                 /* fixed: how many there are */
  mp_w32 table_ready;           /* atomic: entries of the table that have memory, from the first */
  mp_w32 keep;                  /* spans of free runs to keep, at least; an eighth of the peak */
  mp_w32 activity;              /* atomic: counts allocations of runs */
  mp_w64 committed;             /* spans that have memory, or are about to */
  mp_w64 peak;                  /* the most that `committed` has been */
  mp_w64 free_spans;            /* spans in free runs that have memory */
  mp_w32 partial[MP_CLASSES];   /* spans of the class with room: span number + 1 */
  mp_w32 bin[2][RUN_BINS];      /* [has memory, bare]: first free run: span number + 1 */
};

static inline struct heap *heap_of(const struct mp_context *c) {
  return (struct heap *)mp_arena_region(&c->arena, MP_REGION_HEAP);
}
static inline struct span *span_at(const struct mp_context *c, uint32_t n) {
  return (struct span *)(void *)((unsigned char *)heap_of(c) +
                                 mp_round_up(sizeof(struct heap), MP_CACHE_LINE)) + n;
}
static inline uint64_t heap_data(const struct mp_context *c) { /* offset of the first span */
  return mp_round_up(w64_get(&mp_arena_head(&c->arena)->region[MP_REGION_DATA].offset),
                     MP_SPAN_BYTES);
}
static inline mp_ref span_ref(const struct mp_context *c, uint32_t n) {
  return (mp_ref)((heap_data(c) + (uint64_t)n * MP_SPAN_BYTES) / MP_GRANULE);
}
static inline uint32_t span_of(const struct mp_context *c, mp_ref block) {
  return (uint32_t)(((uint64_t)block * MP_GRANULE - heap_data(c)) / MP_SPAN_BYTES);
}
static inline enum span_kind span_kind(const struct span *s) {
  return (enum span_kind)(w32_get(&s->use) & 7u);
}
static inline uint32_t span_value(const struct span *s) {
  return w32_get(&s->use) >> 4;
}
static inline bool span_bare(const struct span *s) {
  return (w32_get(&s->use) & SPAN_BARE) != 0;
}
static inline uint32_t span_word(enum span_kind kind, uint32_t value) {
  return (uint32_t)kind | value << 4;
}
static inline struct small_span *small_at(const struct mp_context *c, uint32_t n) {
  return (struct small_span *)mp_at(c, span_ref(c, n));
}

/* ---- size classes (heap_small.c): four for each doubling, in granules ---- */

uint32_t mp_heap_class_of(size_t bytes);     /* MP_CLASSES: too large for one */
uint32_t mp_heap_class_granules(uint32_t size_class);
uint32_t mp_heap_magazine_room(uint32_t size_class);

/* Refills an empty magazine, at least by one. -ENOMEM. */
int mp_heap_refill(struct mp_context *c, uint32_t size_class);
/* Returns the upper half of a magazine to the centre. */
void mp_heap_return_half(struct mp_context *c, uint32_t size_class);
/* Returns all blocks of a magazine, ours or a dead participant's. */
void mp_heap_magazine_empty(struct mp_context *c, struct mp_magazine *m);
/* Returns one small block: one transaction that also empties `entry`, its owner. */
void mp_heap_small_return(struct mp_context *c, mp_ref block, mp_w64 *entry);
const char *mp_heap_small_check(struct mp_context *c, uint32_t span);

/* ---- runs (heap_run.c): whole spans; `entry` is the pending or doomed word that owns one ---- */

/* Takes a run of n spans, owned by *entry as a block of that kind. -ENOMEM. */
int mp_heap_run_take(struct mp_context *c, uint32_t n, mp_w64 *entry, enum mp_block_kind kind);
/* Frees the run that *entry owns, and empties *entry. Holds no mutex. */
void mp_heap_run_free(struct mp_context *c, mp_ref block, mp_w64 *entry);
/* In a transaction under the lock: span n becomes a free run of `len`, joined with its like. */
void mp_heap_run_put(struct mp_context *c, uint32_t n, uint32_t len, bool bare);
const char *mp_heap_run_check(struct mp_context *c);

/* In a transaction: list handling over span.next and span.prev. */
void mp_heap_list_push(struct mp_context *c, mp_w32 *head, uint32_t n);
void mp_heap_list_remove(struct mp_context *c, mp_w32 *head, uint32_t n);

#endif
