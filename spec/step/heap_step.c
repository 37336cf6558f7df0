/* Allocate and free of the optimised build, killed after every instruction. */
#include "step.h"

static void prepare_nothing(struct step_world *w) {
  (void)w;
}

static void warm_magazine(struct step_world *w) {
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(w->c, 100, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(w->c, block);
}

static void allocate(struct step_world *w) {
  mp_ref block;
  w->shared->note[0] = mp_heap_reserve(w->c, 100, MP_BLOCK_PLAIN, &block);
}

static void allocate_and_free(struct step_world *w) {
  mp_ref block;
  if (mp_heap_reserve(w->c, 100, MP_BLOCK_PLAIN, &block) == 0) mp_heap_unreserve(w->c, block);
}

static void allocate_and_free_large(struct step_world *w) {
  mp_ref block;
  if (mp_heap_reserve(w->c, 300000, MP_BLOCK_PLAIN, &block) == 0) mp_heap_unreserve(w->c, block);
}

/* The dead one leaves nothing behind, wherever it died. */
static void judge_baseline(struct step_world *w, bool done) {
  CHECK(!done || w->shared->note[0] == 0);
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(w->c, 100, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(w->c, block);
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

LONG_TEST(kill_in_allocate_from_the_magazine, 200) {
  step_through(&(struct step_case){"allocate, magazine", prepare_nothing, warm_magazine, allocate,
                                   judge_baseline, NULL});
}

LONG_TEST(kill_in_allocate_and_free, 200) {
  step_through(&(struct step_case){"allocate and free, magazine", prepare_nothing, warm_magazine,
                                   allocate_and_free, judge_baseline, NULL});
}

LONG_TEST(kill_in_allocate_from_the_centre, 200) {
  step_through(&(struct step_case){"allocate, refill", prepare_nothing, NULL, allocate_and_free,
                                   judge_baseline, NULL});
}

LONG_TEST(kill_in_a_large_one, 200) {
  step_through(&(struct step_case){"allocate and free, large", prepare_nothing, NULL,
                                   allocate_and_free_large, judge_baseline, NULL});
}
