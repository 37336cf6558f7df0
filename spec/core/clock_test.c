/* Deadlines: nothing wraps, nothing waits that should not. */
#include "test.h"

#include <math.h>

#include "../../src/core/clock.h"

#define SECOND 1000000000ll

static int about(int64_t ns, int64_t wanted) {
  return ns <= wanted && ns >= wanted - (int64_t)(TOLERANCE * 1e9);
}

TEST(now_is_the_monotonic_clock) {
  struct timespec t;
  int64_t a = mp_clock_now();
  clock_gettime(CLOCK_MONOTONIC, &t);
  int64_t b = mp_clock_now(), between = t.tv_sec * SECOND + t.tv_nsec;
  CHECK(0 < a && a <= between && between <= b);
}

TEST(seconds_become_a_deadline) {
  CHECK(about(mp_clock_left(mp_in(10)), 10 * SECOND));
  CHECK(about(mp_clock_left(mp_in(0.5)), SECOND / 2));
  CHECK(about(mp_clock_left(mp_in(1e9)), 1000000000 * SECOND));
}

TEST(no_time_is_now) {
  CHECK_EQ(mp_in(0), MP_NOW);
  CHECK_EQ(mp_in(-0.0), MP_NOW);
  CHECK_EQ(mp_in(-1), MP_NOW);
  CHECK_EQ(mp_in(-HUGE_VAL), MP_NOW);
  CHECK_EQ(mp_in((double)NAN), MP_NOW);
}

TEST(the_least_time_is_not_now) {
  int64_t before = mp_clock_now();
  CHECK(mp_in(1e-300) > before);
}

TEST(more_than_a_life_is_for_ever) {
  CHECK_EQ(mp_in(HUGE_VAL), MP_FOREVER);
  CHECK_EQ(mp_in(1e300), MP_FOREVER);
  CHECK_EQ(mp_in(201 * 366.0 * 86400), MP_FOREVER);
  CHECK_EQ(mp_in(9.3e9), MP_FOREVER);   /* would wrap */
  CHECK(mp_in(199 * 365.0 * 86400) < MP_FOREVER);
}

TEST(after_saturates) {
  CHECK_EQ(mp_clock_after(0), MP_NOW);
  CHECK_EQ(mp_clock_after(-5), MP_NOW);
  CHECK_EQ(mp_clock_after(INT64_MAX), MP_FOREVER);
  CHECK_EQ(mp_clock_after(INT64_MAX - 1), MP_FOREVER);
  CHECK(about(mp_clock_left(mp_clock_after(SECOND)), SECOND));
}

TEST(left_is_never_negative) {
  CHECK_EQ(mp_clock_left(MP_NOW), 0);
  CHECK_EQ(mp_clock_left(INT64_MIN), 0);
  CHECK_EQ(mp_clock_left(mp_clock_now()), 0);
  CHECK_EQ(mp_clock_left(MP_FOREVER), INT64_MAX);
}

TEST(a_cap_is_the_earlier) {
  mp_deadline far = mp_in(1000);
  CHECK(about(mp_clock_left(mp_clock_cap(far, SECOND)), SECOND));
  CHECK_EQ(mp_clock_cap(far, 2000 * SECOND), far);
  CHECK_EQ(mp_clock_cap(MP_NOW, SECOND), MP_NOW);
  CHECK(about(mp_clock_left(mp_clock_cap(MP_FOREVER, SECOND)), SECOND));
}

TEST(naps_double_up_to_half_a_second) {
  CHECK_EQ(mp_clock_nap(0), SECOND / 50);
  CHECK_EQ(mp_clock_nap(4), SECOND / 50 * 16);
  CHECK_EQ(mp_clock_nap(5), SECOND / 2);
  CHECK_EQ(mp_clock_nap(UINT32_MAX), SECOND / 2);
}
