/* The heap, and whoever dies in the middle of it. */
#include "crash.h"

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

/* After any death the heap is as if nothing had been asked for. */
static void judge_baseline(struct crash_world *w, bool done) {
  (void)done;
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(w->other, 64, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(w->other, block);
  mp_heap_flush(w->other);
  CHECK(mp_heap_usage(w->other).allocated == 0);
}

static int small_and_back(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  int r = mp_heap_reserve(c, 100, MP_BLOCK_PLAIN, &block);
  if (r == 0) mp_heap_unreserve(c, block);
  return r;
}

static int small_kept(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  return mp_heap_reserve(c, 100, MP_BLOCK_PLAIN, &block);
}

static int run_and_back(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  int r = mp_heap_reserve(c, 300000, MP_BLOCK_PLAIN, &block);
  if (r == 0) mp_heap_unreserve(c, block);
  return r;
}

/* More frees than the magazine holds, so that half of it goes back. */
static int magazine_overflow(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block[MP_OWNED_MAX];
  for (int i = 0; i < 4; i++)
    if (mp_heap_reserve(c, 20000, MP_BLOCK_PLAIN, &block[i]) != 0) return -ENOMEM;
  for (int i = 0; i < 4; i++) mp_heap_unreserve(c, block[i]);
  return 0;
}

static void prepare_small_keep(struct crash_world *w) {
  mp_heap_set_keep(w->other, 1 << 20);
}

/* Large blocks are punched when they are freed beyond what is kept. */
static int run_punched(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  int r = mp_heap_reserve(c, 2 << 20, MP_BLOCK_PLAIN, &block);
  if (r == 0) mp_heap_unreserve(c, block);
  return r;
}

static int doomed_freed(struct crash_world *w, struct mp_context *c) {
  struct mp_slot *slot = c->slot;
  (void)w;
  mp_ref block;
  int r = mp_heap_reserve(c, 50, MP_BLOCK_PLAIN, &block);
  if (r != 0) return r;
  mp_mutex *any = (mp_mutex *)mp_arena_region(&c->arena, MP_REGION_OBJECTS); /* its lock is first */
  mp_mutex_lock(c, any);
  mp_tx_publish(c, block);
  mp_tx_doom(c, block, MP_BLOCK_PLAIN);
  mp_tx_commit(c);
  mp_mutex_unlock(c, any);
  CHECK(w64_get(&slot->pending[0]) == 0);
  mp_heap_free_doomed(c);
  return 0;
}

#define CRASH_TEST(name, operation, what)                                                         \
  LONG_TEST(name, 120) {                                                                          \
    crash_enumerate(&(struct crash_case){what, prepare_nothing, operation, judge_baseline});      \
  }

CRASH_TEST(a_death_in_allocate, small_kept, "heap allocate")
CRASH_TEST(a_death_in_allocate_and_free, small_and_back, "heap allocate, free")
CRASH_TEST(a_death_in_a_large_one, run_and_back, "heap allocate large, free")
CRASH_TEST(a_death_in_a_magazine_overflow, magazine_overflow, "heap magazine returned")
CRASH_TEST(a_death_in_doom, doomed_freed, "heap publish, doom, free")

LONG_TEST(a_death_in_punch, 120) {
  crash_enumerate(
      &(struct crash_case){"heap large punched", prepare_small_keep, run_punched, judge_baseline});
}

/* ---- among other blocks; note[0..3]: the victim's ---- */

static void prepare_magazines(struct crash_world *w) {
  static const size_t sizes[] = {20, 100, 700, 5000, 20000};
  for (int i = 0; i < 5; i++) {
    mp_ref block;
    CHECK_EQ(mp_heap_reserve(w->victim, sizes[i], MP_BLOCK_PLAIN, &block), 0);
    mp_heap_unreserve(w->victim, block);
  }
}

static int flush(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_heap_flush(c);
  return 0;
}

/* Runs side by side, of which the first and the third are free. */
static void prepare_row(struct crash_world *w) {
  for (int i = 0; i < 4; i++) {
    mp_ref block;
    CHECK_EQ(mp_heap_reserve(w->victim, 100000, MP_BLOCK_PLAIN, &block), 0);
    w->note[i] = (intptr_t)block;
  }
  mp_heap_unreserve(w->victim, (mp_ref)w->note[0]);
  mp_heap_unreserve(w->victim, (mp_ref)w->note[2]);
}

static int free_between(struct crash_world *w, struct mp_context *c) {
  mp_heap_unreserve(c, (mp_ref)w->note[1]);
  return 0;
}

static int carve(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  return mp_heap_reserve(c, 60000, MP_BLOCK_PLAIN, &block);
}

/* A span of the other's that has room. */
static void prepare_partial(struct crash_world *w) {
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(w->victim, 1000, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_flush(w->victim);
}

static int fill_from_partial(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_ref block;
  return mp_heap_reserve(c, 1000, MP_BLOCK_PLAIN, &block);
}

static int trim(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_heap_trim(c);
  mp_heap_trim(c);
  return 0;
}

#define AMONG_TEST(name, before, operation, what)                                       \
  LONG_TEST(name, 120) {                                                                \
    crash_enumerate(&(struct crash_case){what, before, operation, judge_baseline});     \
  }

AMONG_TEST(a_death_in_flush, prepare_magazines, flush, "heap flush")
AMONG_TEST(a_death_in_free_between_free_ones, prepare_row, free_between, "heap free, merged")
AMONG_TEST(a_death_in_allocate_from_a_larger_one, prepare_row, carve, "heap allocate, carved")
AMONG_TEST(a_death_in_allocate_from_a_partial_span, prepare_partial, fill_from_partial,
           "heap allocate, from a partial span")
AMONG_TEST(a_death_in_trim, prepare_row, trim, "heap trim")
