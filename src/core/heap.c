/*
** Heap: blocks from the participant's own magazines, and who owns what when it dies.
**
** Structure: small blocks (up to 32 KiB) come from magazines in the slot, refilled from spans
** (heap_small.c); larger ones are runs of spans (heap_run.c).
** Lock: heap.lock for spans and runs, never held here across anything else; magazines, pending
** and doomed entries belong to their participant.
** Invariant: each block in use has one owner. While a block moves between two entries of one
** slot, the destination is written before the source is taken away, so it is in both for a
** moment and never in neither.
** Death: mp_heap_clean first strikes from the magazines what also stands in pending or doomed,
** then returns entry after entry, each in a transaction that empties the entry: a cleaner that
** dies is followed by another that goes on.
*/
#include <errno.h>
#include <string.h>

#include "heap_layout.h"

#define KEEP_LEAST (UINT64_C(64) << 20)
#define KEEP_MOST (UINT64_C(256) << 20)

size_t mp_heap_bytes(size_t data_bytes) {
  return MP_CACHE_LINE + sizeof(struct heap) +
         (data_bytes / MP_SPAN_BYTES + 1) * sizeof(struct span);
}

void mp_heap_set_keep(struct mp_context *c, size_t bytes) {
  w32_put(&heap_of(c)->keep, (uint32_t)(bytes / MP_SPAN_BYTES));
}

/* To punch and populate again what a burst of large messages will want once more costs a tenth of
** its throughput: where there is much memory, more of it waits for that, until it has been idle. */
static uint64_t keep_bytes(const struct mp_arena_header *a) {
  uint64_t part = w64_get(&a->limit) / 64;
  return part < KEEP_LEAST ? KEEP_LEAST : part > KEEP_MOST ? KEEP_MOST : part;
}

int mp_heap_init(struct mp_context *c) {
  struct heap *h = heap_of(c);
  const struct mp_arena_header *a = mp_arena_head(&c->arena);
  uint64_t end =
      w64_get(&a->region[MP_REGION_DATA].offset) + w64_get(&a->region[MP_REGION_DATA].bytes);
  uint32_t spans = (uint32_t)((end - heap_data(c)) / MP_SPAN_BYTES);
  uint32_t ready = spans < 256 ? spans : 256;
  int r = mp_arena_commit(&c->arena, h, sizeof *h);
  if (r == 0) r = mp_arena_commit(&c->arena, span_at(c, 0), ready * sizeof(struct span));
  if (r == 0) r = mp_arena_commit(&c->arena, span_at(c, spans - 1), sizeof(struct span));
  if (r != 0) return r;
  w32_put(&h->spans, spans);
  w32_put(&h->table_ready, ready);
  mp_heap_set_keep(c, keep_bytes(a));
  w32_put(&span_at(c, 0)->use, span_word(SPAN_FREE, spans) | SPAN_BARE);
  w32_put(&span_at(c, spans - 1)->use, span_word(SPAN_FREE_TAIL, spans) | SPAN_BARE);
  w32_put(&h->bin[1][31 - __builtin_clz(spans)], 1);
  return 0;
}

static bool block_is_small(const struct mp_context *c, mp_ref block) {
  return span_kind(span_at(c, span_of(c, block))) == SPAN_SMALL;
}

static mp_ref entry_block(const mp_w64 *entry) {
  return (mp_ref)w64_get(entry);
}

static enum mp_block_kind entry_kind(const mp_w64 *entry) {
  return (enum mp_block_kind)(w64_get(entry) >> 32);
}

/* Takes a block from the class's magazine into *entry. */
static int small_reserve(struct mp_context *c, uint32_t size_class, mp_w64 *entry,
                         enum mp_block_kind kind) {
  struct mp_magazine *m = &c->slot->magazine[size_class];
  uint32_t n = w32_get(&m->count);
  if (mp_unlikely(n == 0)) {
    int r = mp_heap_refill(c, size_class);
    if (r != 0) return r;
    n = w32_get(&m->count);
  }
  w64_put(entry, w32_get(&m->block[n - 1]) | (uint64_t)kind << 32);
  mp_compiler_fence();
  w32_put(&m->count, n - 1);
  mp_compiler_fence();
  return 0;
}

int mp_heap_reserve(struct mp_context *c, size_t bytes, enum mp_block_kind kind, mp_ref *out) {
  MP_ASSERT(!c->locked);
  uint32_t k = (uint32_t)__builtin_ctz(~c->pending), size_class = mp_heap_class_of(bytes);
  MP_ASSERT(k < MP_OWNED_MAX);
  mp_w64 *entry = &c->slot->pending[k];
  int r;
  if (size_class < MP_CLASSES)
    r = small_reserve(c, size_class, entry, kind);
  else if (bytes > (size_t)w32_get(&heap_of(c)->spans) * MP_SPAN_BYTES)
    r = -ENOMEM;
  else
    r = mp_heap_run_take(c, (uint32_t)(mp_round_up(bytes, MP_SPAN_BYTES) / MP_SPAN_BYTES), entry,
                         kind);
  if (r != 0) return r;
  c->pending |= 1u << k;
  *out = entry_block(entry);
  return 0;
}

/* Which pending entry owns the block. */
static uint32_t pending_index(const struct mp_context *c, mp_ref block) {
  for (uint32_t bits = c->pending; bits != 0; bits &= bits - 1) {
    uint32_t k = (uint32_t)__builtin_ctz(bits);
    if (entry_block(&c->slot->pending[k]) == block) return k;
  }
  MP_ASSERT(0 && "the block is not pending");
  return 0;
}

mp_w64 *mp_heap_pending_entry(struct mp_context *c, mp_ref block) {
  return &c->slot->pending[pending_index(c, block)];
}

void mp_tx_publish(struct mp_context *c, mp_ref block) {
  uint32_t k = pending_index(c, block);
  mp_tx_set64(c, &c->slot->pending[k], 0);
  c->pending &= ~(1u << k);
}

void mp_tx_doom(struct mp_context *c, mp_ref block, enum mp_block_kind kind) {
  uint32_t j = (uint32_t)__builtin_ctz(~c->doomed);
  MP_ASSERT(j < MP_OWNED_MAX);
  mp_tx_set64(c, &c->slot->doomed[j], block | (uint64_t)kind << 32);
  c->doomed |= 1u << j;
}

void mp_tx_plan_publish(struct mp_context *c, mp_ref block) {
  uint32_t k = pending_index(c, block);
  mp_tx_plan64(c, &c->slot->pending[k], 0);
  c->pending &= ~(1u << k);
}

void mp_tx_plan_doom(struct mp_context *c, mp_ref block, enum mp_block_kind kind, bool keep) {
  uint32_t j = (uint32_t)__builtin_ctz(~c->doomed);
  MP_ASSERT(j < MP_OWNED_MAX);
  mp_tx_plan64(c, &c->slot->doomed[j], block | (uint64_t)kind << 32);
  c->doomed |= 1u << j;
  if (keep) c->releasing |= 1u << j;
}

/* The bit of the doomed entry that owns the block, 0 for none. */
static uint32_t doomed_bit(const struct mp_context *c, mp_ref block) {
  for (uint32_t bits = c->doomed; bits != 0; bits &= bits - 1)
    if (entry_block(&c->slot->doomed[__builtin_ctz(bits)]) == block) return bits & -bits;
  return 0;
}

void mp_heap_free_kept(struct mp_context *c, mp_ref block) {
  uint32_t bit = doomed_bit(c, block);
  if (bit == 0) return;
  c->releasing &= ~bit;
  mp_heap_free_doomed(c);
}

/* Puts a small block that *entry owns into our magazine, and empties *entry, which is ours. */
static void small_free(struct mp_context *c, mp_ref block, mp_w64 *entry) {
  uint32_t size_class = span_value(span_at(c, span_of(c, block)));
  struct mp_magazine *m = &c->slot->magazine[size_class];
  if (w32_get(&m->count) >= mp_heap_magazine_room(size_class)) mp_heap_return_half(c, size_class);
  uint32_t n = w32_get(&m->count);
#ifdef MP_TEST
  memset(mp_at(c, block), 0x55, mp_heap_class_granules(size_class) * MP_GRANULE);
#endif
  w32_put(&m->block[n], block);
  mp_compiler_fence();
  w32_put(&m->count, n + 1);
  mp_compiler_fence();
  w64_put(entry, 0);
}

static void block_free(struct mp_context *c, mp_w64 *entry) {
  mp_ref block = entry_block(entry);
  if (block_is_small(c, block))
    small_free(c, block, entry);
  else
    mp_heap_run_free(c, block, entry);
}

void mp_heap_unreserve(struct mp_context *c, mp_ref block) {
  uint32_t k = pending_index(c, block);
  block_free(c, &c->slot->pending[k]);
  c->pending &= ~(1u << k);
}

void mp_heap_free_doomed_slow(struct mp_context *c) {
  MP_ASSERT(!c->locked);
  uint32_t left;
  while ((left = c->doomed & ~c->releasing) != 0) {
    uint32_t j = (uint32_t)__builtin_ctz(left);
    mp_w64 *entry = &c->slot->doomed[j];
    enum mp_block_kind kind = entry_kind(entry);
    c->releasing |= 1u << j; /* taking it apart may doom and free other blocks */
    if (kind != MP_BLOCK_PLAIN) mp_releasers[kind](c, entry, entry_block(entry));
    block_free(c, entry);
    c->releasing &= ~(1u << j);
    c->doomed &= ~(1u << j);
  }
}

size_t mp_heap_room(const struct mp_context *c, mp_ref block) {
  const struct span *s = span_at(c, span_of(c, block));
  if (span_kind(s) == SPAN_SMALL) return mp_heap_class_granules(span_value(s)) * MP_GRANULE;
  return (size_t)span_value(s) * MP_SPAN_BYTES;
}

/* ---- clean-up ---- */

static bool slot_owns(const struct mp_slot *s, mp_ref block) {
  for (uint32_t k = 0; k < MP_OWNED_MAX; k++)
    if (entry_block(&s->pending[k]) == block || entry_block(&s->doomed[k]) == block) return true;
  return false;
}

/* Takes out of the magazines what the dead one was moving; 0 marks the place. */
static void magazines_strike(struct mp_slot *dead) {
  for (uint32_t size_class = 0; size_class < MP_CLASSES; size_class++) {
    struct mp_magazine *m = &dead->magazine[size_class];
    for (uint32_t i = 0; i < w32_get(&m->count); i++)
      if (w32_get(&m->block[i]) != 0 && slot_owns(dead, w32_get(&m->block[i])))
        w32_put(&m->block[i], 0);
  }
}

static void entry_clean(struct mp_context *c, mp_w64 *entry) {
  if (w64_get(entry) == 0) return;
  enum mp_block_kind kind = entry_kind(entry);
  if (kind != MP_BLOCK_PLAIN) mp_releasers[kind](c, entry, entry_block(entry));
  mp_ref block = entry_block(entry);
  if (block_is_small(c, block))
    mp_heap_small_return(c, block, entry);
  else
    mp_heap_run_free(c, block, entry);
}

static void magazines_return(struct mp_context *c, struct mp_slot *s) {
  for (uint32_t size_class = 0; size_class < MP_CLASSES; size_class++)
    mp_heap_magazine_empty(c, &s->magazine[size_class]);
}

void mp_heap_clean(struct mp_context *c, struct mp_slot *dead) {
  magazines_strike(dead);
  for (uint32_t k = 0; k < MP_OWNED_MAX; k++) {
    entry_clean(c, &dead->pending[k]);
    entry_clean(c, &dead->doomed[k]);
  }
  magazines_return(c, dead);
}

void mp_heap_flush(struct mp_context *c) {
  magazines_return(c, c->slot);
}

/* ---- what there is ---- */

static uint64_t span_used_bytes(const struct mp_context *c, uint32_t n) {
  const struct span *s = span_at(c, n);
  if (span_kind(s) == SPAN_RUN) return (uint64_t)span_value(s) * MP_SPAN_BYTES;
  if (span_kind(s) != SPAN_SMALL) return 0;
  const struct small_span *small = small_at(c, n);
  return (uint64_t)(w32_get(&small->count) - w32_get(&small->free)) *
         mp_heap_class_granules(span_value(s)) * MP_GRANULE;
}

static uint32_t span_after(const struct mp_context *c, uint32_t n) {
  const struct span *s = span_at(c, n);
  return n + (span_kind(s) == SPAN_SMALL ? 1 : span_value(s));
}

struct mp_heap_usage mp_heap_usage(struct mp_context *c) {
  struct heap *h = heap_of(c);
  struct mp_heap_usage u = {0, w64_get(&mp_arena_head(&c->arena)->limit), 0};
  mp_mutex_lock(c, &h->lock);
  u.committed = w64_get(&h->committed) * MP_SPAN_BYTES;
  for (uint32_t n = 0; n < w32_get(&h->spans); n = span_after(c, n))
    u.allocated += span_used_bytes(c, n);
  mp_mutex_unlock(c, &h->lock);
  return u;
}

bool mp_heap_is_block(const struct mp_context *c, mp_ref block) {
  uint32_t n = span_of(c, block);
  if ((uint64_t)block * MP_GRANULE < heap_data(c) || n >= w32_get(&heap_of(c)->spans)) return false;
  const struct span *s = span_at(c, n);
  if (span_kind(s) == SPAN_RUN) return block == span_ref(c, n);
  if (span_kind(s) != SPAN_SMALL) return false;
  const struct small_span *small = small_at(c, n);
  uint32_t granules = mp_heap_class_granules(span_value(s));
  uint32_t at = block - span_ref(c, n) - w32_get(&small->first), i = at / granules;
  return at % granules == 0 && i < w32_get(&small->count) &&
         (w64_get(&small->used[i / 64]) >> i % 64 & 1) != 0;
}

static bool in_a_magazine(const struct mp_context *c, mp_ref block, uint32_t size_class) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++) {
    const struct mp_magazine *m = &mp_slot_at(&c->arena, i)->magazine[size_class];
    for (uint32_t k = 0; k < w32_get(&m->count); k++)
      if (w32_get(&m->block[k]) == block) return true;
  }
  return false;
}

typedef const char *visitor(void *arg, mp_ref block);

static const char *small_visit(struct mp_context *c, uint32_t n, visitor *visit, void *arg) {
  const struct small_span *s = small_at(c, n);
  uint32_t size_class = span_value(span_at(c, n)), granules = mp_heap_class_granules(size_class);
  for (uint32_t i = 0; i < w32_get(&s->count); i++) {
    if ((w64_get(&s->used[i / 64]) >> i % 64 & 1) == 0) continue;
    mp_ref block = span_ref(c, n) + w32_get(&s->first) + i * granules;
    if (in_a_magazine(c, block, size_class)) continue;
    const char *wrong = visit(arg, block);
    if (wrong != NULL) return wrong;
  }
  return NULL;
}

/* Each magazine's block is in use, of its class, and in one magazine once. */
static const char *magazines_check(struct mp_context *c) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++) {
    for (uint32_t size_class = 0; size_class < MP_CLASSES; size_class++) {
      const struct mp_magazine *m = &mp_slot_at(&c->arena, i)->magazine[size_class];
      uint32_t count = w32_get(&m->count);
      if (count > mp_heap_magazine_room(size_class)) return "heap: a magazine is overfull";
      for (uint32_t k = 0; k < count; k++) {
        mp_ref block = w32_get(&m->block[k]);
        if (!mp_heap_is_block(c, block) || !block_is_small(c, block) ||
            span_value(span_at(c, span_of(c, block))) != size_class)
          return "heap: a magazine holds what is no block of its size_class";
        for (uint32_t other = 0; other < k; other++)
          if (w32_get(&m->block[other]) == block) return "heap: a magazine holds a block twice";
      }
    }
  }
  return NULL;
}

const char *mp_heap_check(struct mp_context *c, visitor *visit, void *arg) {
  const char *wrong = mp_mutex_check(c, &heap_of(c)->lock);
  if (wrong == NULL) wrong = mp_heap_run_check(c);
  if (wrong == NULL) wrong = magazines_check(c);
  for (uint32_t n = 0; wrong == NULL && n < w32_get(&heap_of(c)->spans); n = span_after(c, n)) {
    enum span_kind kind = span_kind(span_at(c, n));
    if (kind == SPAN_SMALL) wrong = mp_heap_small_check(c, n);
    if (wrong != NULL || visit == NULL) continue;
    if (kind == SPAN_SMALL) wrong = small_visit(c, n, visit, arg);
    if (kind == SPAN_RUN) wrong = visit(arg, span_ref(c, n));
  }
  return wrong;
}
