/*
** Runs: the page layer of the heap, in spans of 64 KiB.
**
** Structure: the data region is cut into runs that touch; the first and the last span of each
** say what it is (a table beside the data, so that a punched run keeps its description). Free
** runs stand in bins by size, those with memory apart from bare ones; at the start the whole
** region is one bare run, so growing and re-using punched memory are the same thing.
** Lock: heap.lock, through transactions that commit by themselves. System calls happen outside
** it, on a run that a participant owns: RUN|BARE is "about to get its memory" or "about to lose
** it". Invariant: two free runs of the same sort never touch; `committed` counts the spans that are
** not bare, RUN|BARE included; `free_spans` those of free runs with memory.
** Death: a run in hand stands in its owner's pending or doomed list; the cleaner frees it, and
** punches it if it is marked BARE (again, if it was done: that changes nothing).
*/
#include <errno.h>

#include "heap_layout.h"
#include "os.h"

#define PUNCH_SPANS 4u      /* smaller runs are never worth a system call */
#ifdef MP_TEST
#define GROW_LEAST 2u       /* tests make many small worlds */
#else
#define GROW_LEAST 16u      /* 1 MiB */
#endif
#define GROW_MOST 1024u     /* 64 MiB */
#define BIN_LOOKS 16        /* runs of the right bin that are looked at */
#define TABLE_STEP 4096u    /* entries that get memory at a time */

void mp_heap_list_push(struct mp_context *c, mp_w32 *head, uint32_t n) {
  uint32_t first = w32_get(head);
  mp_tx_set32(c, &span_at(c, n)->next, first);
  mp_tx_set32(c, &span_at(c, n)->prev, 0);
  if (first != 0) mp_tx_set32(c, &span_at(c, first - 1)->prev, n + 1);
  mp_tx_set32(c, head, n + 1);
}

void mp_heap_list_remove(struct mp_context *c, mp_w32 *head, uint32_t n) {
  uint32_t next = w32_get(&span_at(c, n)->next), prev = w32_get(&span_at(c, n)->prev);
  if (prev != 0)
    mp_tx_set32(c, &span_at(c, prev - 1)->next, next);
  else
    mp_tx_set32(c, head, next);
  if (next != 0) mp_tx_set32(c, &span_at(c, next - 1)->prev, prev);
}

static uint32_t bin_of(uint32_t len) {
  return 31u - (uint32_t)__builtin_clz(len);
}

static mp_w32 *run_bin(const struct mp_context *c, uint32_t len, bool bare) {
  return &heap_of(c)->bin[bare][bin_of(len)];
}

/* Writes both ends of a run. */
static void run_mark(struct mp_context *c, uint32_t n, uint32_t len, uint32_t word) {
  mp_tx_set32(c, &span_at(c, n)->use, word);
  if (len < 2) return;
  bool is_free = (word & 7u) == SPAN_FREE;
  uint32_t tail = is_free ? span_word(SPAN_FREE_TAIL, len) | (word & SPAN_BARE)
                          : span_word(SPAN_INSIDE, 0);
  mp_tx_set32(c, &span_at(c, n + len - 1)->use, tail);
}

static void free_count_add(struct mp_context *c, int64_t spans, bool bare) {
  struct heap *h = heap_of(c);
  if (!bare) mp_tx_set64(c, &h->free_spans, w64_get(&h->free_spans) + (uint64_t)spans);
}

void mp_heap_run_put(struct mp_context *c, uint32_t n, uint32_t len, bool bare) {
  free_count_add(c, len, bare);
  if (n + len < w32_get(&heap_of(c)->spans)) {
    const struct span *after = span_at(c, n + len);
    if (span_kind(after) == SPAN_FREE && span_bare(after) == bare) {
      uint32_t more = span_value(after);
      mp_heap_list_remove(c, run_bin(c, more, bare), n + len);
      len += more;
    }
  }
  if (n > 0) {
    const struct span *before = span_at(c, n - 1);
    enum span_kind kind = span_kind(before);
    if ((kind == SPAN_FREE || kind == SPAN_FREE_TAIL) && span_bare(before) == bare) {
      uint32_t more = kind == SPAN_FREE ? 1 : span_value(before);
      mp_heap_list_remove(c, run_bin(c, more, bare), n - more);
      n -= more;
      len += more;
    }
  }
  run_mark(c, n, len, span_word(SPAN_FREE, len) | (bare ? SPAN_BARE : 0));
  mp_heap_list_push(c, run_bin(c, len, bare), n);
}

/* Finds a free run of at least n spans: newest first, in the bin of n a few looks only. */
static uint32_t run_find(const struct mp_context *c, uint32_t n, bool bare) {
  const struct heap *h = heap_of(c);
  uint32_t at = w32_get(&h->bin[bare][bin_of(n)]);
  for (int looks = 0; at != 0 && looks < BIN_LOOKS; looks++) {
    if (span_value(span_at(c, at - 1)) >= n) return at - 1;
    at = w32_get(&span_at(c, at - 1)->next);
  }
  for (uint32_t bin = bin_of(n) + 1; bin < RUN_BINS; bin++) {
    at = w32_get(&h->bin[bare][bin]);
    if (at != 0) return at - 1;
  }
  return NO_SPAN;
}

/* Takes the first `len` spans of the free run at n; the rest stays free. */
static void run_carve(struct mp_context *c, uint32_t n, uint32_t len, bool bare) {
  uint32_t whole = span_value(span_at(c, n));
  mp_heap_list_remove(c, run_bin(c, whole, bare), n);
  free_count_add(c, -(int64_t)len, bare);
  run_mark(c, n, len, span_word(SPAN_RUN, len) | (bare ? SPAN_BARE : 0));
  if (whole == len) return;
  uint32_t rest = whole - len;
  run_mark(c, n + len, rest, span_word(SPAN_FREE, rest) | (bare ? SPAN_BARE : 0));
  mp_heap_list_push(c, run_bin(c, rest, bare), n + len);
}

static uint64_t run_owned(const struct mp_context *c, uint32_t n, enum mp_block_kind kind) {
  return span_ref(c, n) | (uint64_t)kind << 32;
}

/* A run that has its memory already. */
static bool run_take_ready(struct mp_context *c, uint32_t n, mp_w64 *entry,
                           enum mp_block_kind kind) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  uint32_t at = run_find(c, n, false);
  if (at != NO_SPAN) {
    run_carve(c, at, n, false);
    mp_tx_set64(c, entry, run_owned(c, at, kind));
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &h->lock);
  return at != NO_SPAN;
}

/* How many spans to ask of the system when n are wanted. 0: the limit forbids even n. */
static uint32_t run_growth(const struct mp_context *c, uint32_t n) {
  const struct heap *h = heap_of(c);
  uint64_t committed = w64_get(&h->committed);
  uint64_t limit = w64_get(&mp_arena_head(&c->arena)->limit) / MP_SPAN_BYTES;
  uint64_t extra = committed / 4;
  if (extra < GROW_LEAST) extra = GROW_LEAST;
  if (extra > GROW_MOST) extra = GROW_MOST;
  if (n >= extra) extra = 0;
  if (committed + n > limit) return 0;
  if (committed + n + extra > limit) extra = 0;
  return n + (uint32_t)extra;
}

/* Takes a bare run; its table entries must have memory. NO_SPAN: none; *table says how many
** entries are needed where it was the table that is short. */
static uint32_t run_take_bare(struct mp_context *c, uint32_t n, mp_w64 *entry,
                              enum mp_block_kind kind, uint32_t *table) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  uint32_t len = run_growth(c, n), at = NO_SPAN;
  if (len != 0) at = run_find(c, len, true);
  if (at == NO_SPAN && len > n) at = run_find(c, len = n, true);
  *table = 0;
  if (at != NO_SPAN && at + len + 1 > w32_get(&h->table_ready) &&
      w32_get(&h->table_ready) < w32_get(&h->spans)) {
    *table = at + len + 1;
    at = NO_SPAN;
  }
  if (at != NO_SPAN) {
    uint64_t committed = w64_get(&h->committed) + len;
    run_carve(c, at, len, true);
    mp_tx_set64(c, &h->committed, committed);
    if (committed > w64_get(&h->peak)) mp_tx_set64(c, &h->peak, committed);
    mp_tx_set64(c, entry, run_owned(c, at, kind));
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &h->lock);
  return at;
}

/* Gives the table's entries 0 .. want-1 their memory. */
static int table_grow(struct mp_context *c, uint32_t want) {
  struct heap *h = heap_of(c);
  uint32_t spans = w32_get(&h->spans);
  want = (uint32_t)mp_round_up(want, TABLE_STEP);
  if (want > spans) want = spans;
  int r = mp_arena_commit(&c->arena, span_at(c, 0), want * sizeof(struct span));
  if (r != 0) return r;
  uint32_t seen = w32_get(&h->table_ready);
  while (seen < want && !w32_cas(&h->table_ready, &seen, want)) {}
  return 0;
}

/* The run has got its memory: the first n spans are its owner's, the rest is free. */
static void run_settle(struct mp_context *c, uint32_t at, uint32_t n) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  uint32_t whole = span_value(span_at(c, at));
  run_mark(c, at, n, span_word(SPAN_RUN, n));
  if (whole > n) mp_heap_run_put(c, at + n, whole - n, false);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &h->lock);
}

/* Is there so much free memory that this run should go back to the system? */
static bool run_to_punch(const struct heap *h, uint32_t len) {
  uint64_t keep = w64_get(&h->peak) / 8;
  if (keep < w32_get(&h->keep)) keep = w32_get(&h->keep);
  return len >= PUNCH_SPANS && w64_get(&h->free_spans) + len > keep;
}

/* Marks a run that we own as bare before its memory goes. */
static void run_strip(struct mp_context *c, uint32_t at) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  mp_tx_set32(c, &span_at(c, at)->use, w32_get(&span_at(c, at)->use) | SPAN_BARE);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &h->lock);
}

void mp_heap_run_free(struct mp_context *c, mp_ref block, mp_w64 *entry) {
  struct heap *h = heap_of(c);
  uint32_t at = span_of(c, block), len = span_value(span_at(c, at));
  if (!span_bare(span_at(c, at)) && run_to_punch(h, len)) run_strip(c, at);
  bool bare = span_bare(span_at(c, at));
  if (bare) mp_arena_punch(&c->arena, mp_at(c, block), (size_t)len * MP_SPAN_BYTES);
  mp_mutex_lock(c, &h->lock);
  if (bare) mp_tx_set64(c, &h->committed, w64_get(&h->committed) - len);
  mp_heap_run_put(c, at, len, bare);
  mp_tx_set64(c, entry, 0);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &h->lock);
}

/* Takes a free run that is worth punching, marked bare. */
static bool run_take_idle(struct mp_context *c, mp_w64 *entry) {
  struct heap *h = heap_of(c);
  mp_mutex_lock(c, &h->lock);
  uint32_t at = run_find(c, PUNCH_SPANS, false);
  if (at != NO_SPAN) {
    uint32_t len = span_value(span_at(c, at));
    run_carve(c, at, len, false);
    mp_tx_set32(c, &span_at(c, at)->use, span_word(SPAN_RUN, len) | SPAN_BARE);
    mp_tx_set64(c, entry, run_owned(c, at, MP_BLOCK_PLAIN));
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &h->lock);
  return at != NO_SPAN;
}

/* Gives all free runs of some size back to the system. True when there was one. */
static bool heap_reclaim(struct mp_context *c) {
  uint32_t k = (uint32_t)__builtin_ctz(~c->pending);
  MP_ASSERT(k < MP_OWNED_MAX);
  mp_w64 *entry = &c->slot->pending[k];
  bool any = false;
  for (; run_take_idle(c, entry); any = true) mp_heap_run_free(c, (mp_ref)w64_get(entry), entry);
  return any;
}

void mp_heap_trim(struct mp_context *c) {
  struct heap *h = heap_of(c);
  uint32_t activity = w32_get(&h->activity);
  bool idle = activity == c->heap_activity;
  c->heap_activity = activity;
  if (idle && w64_get(&h->free_spans) >= PUNCH_SPANS) (void)heap_reclaim(c);
}

int mp_heap_run_take(struct mp_context *c, uint32_t n, mp_w64 *entry, enum mp_block_kind kind) {
  (void)w32_add(&heap_of(c)->activity, 1);
  if (run_take_ready(c, n, entry, kind)) return 0;
  uint32_t table, at;
  while ((at = run_take_bare(c, n, entry, kind, &table)) == NO_SPAN) {
    int r = table != 0 ? table_grow(c, table) : heap_reclaim(c) ? 0 : -ENOMEM;
    if (r != 0) return r;
  }
  void *memory = mp_at(c, span_ref(c, at));
  size_t bytes = (size_t)span_value(span_at(c, at)) * MP_SPAN_BYTES;
  int r = mp_arena_commit(&c->arena, memory, bytes);
  if (r != 0) {
    mp_heap_run_free(c, span_ref(c, at), entry);
    return r;
  }
  (void)mp_os_populate(memory, bytes);
  run_settle(c, at, n);
  return 0;
}

/* One bin's list: links, sort and size of each run. */
static const char *bin_check(struct mp_context *c, bool bare, uint32_t bin, uint64_t *seen) {
  uint32_t prev = 0;
  for (uint32_t at = w32_get(&heap_of(c)->bin[bare][bin]); at != 0; (*seen)++) {
    const struct span *s = span_at(c, at - 1);
    if (span_kind(s) != SPAN_FREE || span_bare(s) != bare) return "heap: a bin holds a used run";
    if (bin_of(span_value(s)) != bin) return "heap: a free run stands in the wrong bin";
    if (w32_get(&s->prev) != prev) return "heap: a bin's links do not match";
    prev = at;
    at = w32_get(&s->next);
  }
  return NULL;
}

const char *mp_heap_run_check(struct mp_context *c) {
  struct heap *h = heap_of(c);
  uint64_t committed = 0, free_spans = 0, free_runs = 0, in_bins = 0;
  int last = -1; /* sort of the free run before this one */
  for (uint32_t n = 0; n < w32_get(&h->spans);) {
    const struct span *s = span_at(c, n);
    enum span_kind kind = span_kind(s);
    uint32_t len = kind == SPAN_SMALL ? 1 : span_value(s);
    if (kind != SPAN_FREE && kind != SPAN_RUN && kind != SPAN_SMALL)
      return "heap: a span belongs to no run";
    if (len == 0 || len > w32_get(&h->spans) - n) return "heap: a run's length is wrong";
    if (kind != SPAN_FREE || !span_bare(s)) committed += len;
    if (kind == SPAN_FREE) {
      if (last == (int)span_bare(s)) return "heap: two free runs touch";
      if (len > 1 && w32_get(&span_at(c, n + len - 1)->use) !=
                         (span_word(SPAN_FREE_TAIL, len) | (w32_get(&s->use) & SPAN_BARE)))
        return "heap: the ends of a free run disagree";
      free_runs++;
      if (!span_bare(s)) free_spans += len;
    }
    last = kind == SPAN_FREE ? (int)span_bare(s) : -1;
    n += len;
  }
  for (uint32_t i = 0; i < 2 * RUN_BINS; i++) {
    const char *wrong = bin_check(c, i % 2 == 1, i / 2, &in_bins);
    if (wrong != NULL) return wrong;
  }
  if (in_bins != free_runs) return "heap: a free run stands in no bin";
  if (committed != w64_get(&h->committed)) return "heap: committed spans are miscounted";
  return free_spans == w64_get(&h->free_spans) ? NULL : "heap: free spans are miscounted";
}
