/*
** Small blocks: spans of 64 KiB cut into blocks of one size class.
**
** Structure: a small span starts with a count and a bit for each block (set: in use, a magazine's
** included); spans of a class that have room are linked. Blocks move between spans and the
** participants' magazines in batches.
** Lock: heap.lock. A refill is one transaction: bits, free count, list, magazine count; the
** magazine's new entries are written before, above its count, where nobody looks. A return is
** one transaction a block: bit, free count, list, owner's entry.
** Invariant: free = clear bits; a span is in its class's list exactly when free > 0; an empty
** span goes back to the runs.
** Death: the log of the transaction in hand is undone; the dead participant's magazines are
** returned block by block (heap.c).
*/
#include <errno.h>
#include <string.h>

#include "heap_layout.h"

#define SMALL_MAX_GRANULES 2044u /* two of them fit a span beside its header */

/* Classes: 1 2 3 4, then four for each doubling: 5 6 7 8, 10 12 14 16, … 2044. */
uint32_t mp_heap_class_granules(uint32_t size_class) {
  if (size_class < 4) return size_class + 1;
  uint32_t granules = (5 + size_class % 4) << (size_class / 4 - 1);
  return granules < SMALL_MAX_GRANULES ? granules : SMALL_MAX_GRANULES;
}

uint32_t mp_heap_class_of(size_t bytes) {
  if (bytes > SMALL_MAX_GRANULES * MP_GRANULE) return MP_CLASSES;
  uint32_t granules = (uint32_t)((bytes + MP_GRANULE - 1) / MP_GRANULE);
  if (granules <= 4) return granules == 0 ? 0 : granules - 1;
  uint32_t shift = 29u - (uint32_t)__builtin_clz(granules - 1); /* granules in (4<<s, 8<<s] */
  uint32_t step = (granules - 1) >> shift;                      /* 4 .. 7 */
  return 4 * shift + step;
}

uint32_t mp_heap_magazine_room(uint32_t size_class) {
  uint32_t room = MP_SPAN_BYTES / MP_GRANULE / mp_heap_class_granules(size_class);
  return room < MP_MAGAZINE_MAX ? room : MP_MAGAZINE_MAX;
}

static uint32_t small_header_granules(uint32_t count) {
  size_t bytes = sizeof(struct small_span) + (count + 63) / 64 * sizeof(mp_w64);
  return (uint32_t)(mp_round_up(bytes, MP_GRANULE) / MP_GRANULE);
}

static uint32_t small_count(uint32_t size_class) {
  uint32_t granules = mp_heap_class_granules(size_class), count = SPAN_GRANULES / granules;
  while (small_header_granules(count) + count * granules > SPAN_GRANULES) count--;
  return count;
}

/* Writes the header of a span that nobody else can see yet. */
static void small_format(struct mp_context *c, uint32_t span, uint32_t size_class) {
  struct small_span *s = small_at(c, span);
  uint32_t count = small_count(size_class);
  memset(s, 0, small_header_granules(count) * MP_GRANULE);
  w32_put(&s->count, count);
  w32_put(&s->free, count);
  w32_put(&s->first, small_header_granules(count));
}

/* Adds a span to a class that has none with room. */
static int small_grow(struct mp_context *c, uint32_t size_class) {
  uint32_t k = (uint32_t)__builtin_ctz(~c->pending);
  MP_ASSERT(k < MP_OWNED_MAX);
  mp_w64 *entry = &c->slot->pending[k];
  int r = mp_heap_run_take(c, 1, entry, MP_BLOCK_PLAIN);
  if (r != 0) return r;
  uint32_t span = span_of(c, (mp_ref)w64_get(entry));
  small_format(c, span, size_class);
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  mp_tx_set32(c, &span_at(c, span)->use, span_word(SPAN_SMALL, size_class));
  mp_heap_list_push(c, &h->partial[size_class], span);
  mp_tx_set64(c, entry, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &h->lock);
  return 0;
}

/* Puts up to `want` free blocks of the span into the magazine, from entry `at` on; how many. */
static uint32_t small_take(struct mp_context *c, uint32_t span, struct mp_magazine *m,
                           uint32_t want) {
  struct small_span *s = small_at(c, span);
  uint32_t size_class = span_value(span_at(c, span)), granules = mp_heap_class_granules(size_class);
  mp_ref first = span_ref(c, span) + w32_get(&s->first);
  uint32_t count = w32_get(&s->count), taken = 0;
  for (uint32_t w = 0; w * 64 < count && taken < want; w++) {
    uint64_t used = w64_get(&s->used[w]), now = used;
    uint64_t there = count - w * 64 < 64 ? (UINT64_C(1) << (count - w * 64)) - 1 : UINT64_MAX;
    while (taken < want && (~now & there) != 0) {
      uint32_t bit = (uint32_t)__builtin_ctzll(~now & there);
      now |= UINT64_C(1) << bit;
      w32_put(&m->block[taken++], first + (w * 64 + bit) * granules);
    }
    if (now != used) mp_tx_set64(c, &s->used[w], now);
  }
  mp_tx_set32(c, &s->free, w32_get(&s->free) - taken);
  return taken;
}

int mp_heap_refill(struct mp_context *c, uint32_t size_class) {
  struct heap *h = heap_of(c);
  struct mp_magazine *m = &c->slot->magazine[size_class];
  MP_ASSERT(w32_get(&m->count) == 0);
  for (;;) {
    mp_mutex_lock(c, &h->lock);
    uint32_t span = w32_get(&h->partial[size_class]);
    if (span != 0) {
      uint32_t taken = small_take(c, span - 1, m, (mp_heap_magazine_room(size_class) + 1) / 2);
      if (w32_get(&small_at(c, span - 1)->free) == 0)
        mp_heap_list_remove(c, &h->partial[size_class], span - 1);
      mp_tx_set32(c, &m->count, taken);
      mp_tx_commit(c);
    }
    mp_mutex_unlock(c, &h->lock);
    if (span != 0) return 0;
    int r = small_grow(c, size_class);
    if (r != 0) return r;
  }
}

/* In a transaction: clears the block's bit. The last block of a span takes the span with it,
** unless it is the only one of its class with room. */
static void small_put(struct mp_context *c, mp_ref block) {
  struct heap *h = heap_of(c);
  uint32_t span = span_of(c, block), size_class = span_value(span_at(c, span));
  struct small_span *s = small_at(c, span);
  uint32_t n =
      (block - span_ref(c, span) - w32_get(&s->first)) / mp_heap_class_granules(size_class);
  uint64_t used = w64_get(&s->used[n / 64]), bit = UINT64_C(1) << n % 64;
  MP_ASSERT((used & bit) != 0);
  uint32_t now_free = w32_get(&s->free) + 1;
  mp_tx_set64(c, &s->used[n / 64], used & ~bit);
  mp_tx_set32(c, &s->free, now_free);
  if (now_free == 1) mp_heap_list_push(c, &h->partial[size_class], span);
  bool alone =
      w32_get(&h->partial[size_class]) == span + 1 && w32_get(&span_at(c, span)->next) == 0;
  if (now_free < w32_get(&s->count) || alone) return;
  mp_heap_list_remove(c, &h->partial[size_class], span);
  mp_heap_run_put(c, span, 1, false);
}

/* Returns blocks from the top of a magazine until `keep` are left. 0 marks a struck entry. */
static void magazine_return(struct mp_context *c, struct mp_magazine *m, uint32_t keep) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  for (uint32_t count = w32_get(&m->count); count > keep; count--) {
    mp_ref block = w32_get(&m->block[count - 1]);
    if (block != MP_NONE) small_put(c, block);
    mp_tx_set32(c, &m->count, count - 1);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &h->lock);
}

void mp_heap_return_half(struct mp_context *c, uint32_t size_class) {
  struct mp_magazine *m = &c->slot->magazine[size_class];
  magazine_return(c, m, w32_get(&m->count) / 2);
}

void mp_heap_magazine_empty(struct mp_context *c, struct mp_magazine *m) {
  if (w32_get(&m->count) != 0) magazine_return(c, m, 0);
}

void mp_heap_small_return(struct mp_context *c, mp_ref block, mp_w64 *entry) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  small_put(c, block);
  mp_tx_set64(c, entry, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &h->lock);
}

const char *mp_heap_small_check(struct mp_context *c, uint32_t span) {
  const struct small_span *s = small_at(c, span);
  uint32_t size_class = span_value(span_at(c, span)), used = 0, count = w32_get(&s->count);
  if (size_class >= MP_CLASSES || count != small_count(size_class))
    return "heap: a small span's size is wrong";
  for (uint32_t w = 0; w * 64 < count; w++)
    used += (uint32_t)__builtin_popcountll(w64_get(&s->used[w]));
  if (used + w32_get(&s->free) != count) return "heap: a small span's free blocks are miscounted";
  bool listed = false;
  for (uint32_t at = w32_get(&heap_of(c)->partial[size_class]); at != 0;
       at = w32_get(&span_at(c, at - 1)->next)) {
    if (span_kind(span_at(c, at - 1)) != SPAN_SMALL)
      return "heap: a size_class lists no small span";
    listed = listed || at == span + 1;
  }
  return listed == (w32_get(&s->free) > 0) ? NULL : "heap: a size_class lists the wrong spans";
}
