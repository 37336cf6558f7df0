/* Values and arrays: types, ranges, atomic changes, by one and by many. */
#include <math.h>
#include <pthread.h>

#include "../../src/core/context.h"
#include "test.h"

static struct mp_context *open_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static mp_array *make(struct mp_context *c, char code, size_t count) {
  mp_array *a;
  mp_array_options o = {.code = code, .count = count};
  CHECK_EQ(mp_array_new(c, &o, &a), 0);
  return a;
}

static void check_all(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

static mp_number integer(int64_t i) {
  return (mp_number){.i = i};
}
static mp_number real(double f) {
  return (mp_number){.f = f};
}
static int64_t get(mp_array *a, size_t i) {
  mp_number n = {0};
  CHECK_EQ(mp_array_get(a, i, &n), 0);
  return n.i;
}

TEST(integers_keep_to_their_range) {
  struct mp_context *c = open_context();
  for (const char *code = "cbBhHiIlLqQu"; *code != '\0'; code++) {
    mp_array *a = make(c, *code, 3);
    mp_number_type t;
    CHECK_EQ(mp_array_type(*code, &t), 0);
    CHECK_EQ(mp_array_set(a, 1, integer(t.low)), 0);
    CHECK_EQ(get(a, 1), t.low);
    CHECK_EQ(mp_array_set(a, 1, integer(t.high)), 0);
    CHECK_EQ(get(a, 1), t.high);
    if (t.high < INT64_MAX) CHECK_EQ(mp_array_set(a, 1, integer(t.high + 1)), -ERANGE);
    if (t.low > INT64_MIN) CHECK_EQ(mp_array_set(a, 1, integer(t.low - 1)), -ERANGE);
    CHECK_EQ(get(a, 1), t.high);
    CHECK_EQ(get(a, 0), 0);
    CHECK_EQ(get(a, 2), 0);
    mp_number sum;
    CHECK_EQ(mp_array_add(a, 1, integer(1), &sum), -ERANGE);
    CHECK_EQ(mp_array_add(a, 1, integer(-1), &sum), 0);
    CHECK_EQ(sum.i, t.high - 1);
    CHECK(mp_array_close(a) == NULL);
  }
  check_all(c);
  mp_context_close(c);
}

TEST(sizes_are_those_of_c) {
  const char *codes = "cbBhHiIlLqQfdu";
  const unsigned sizes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 4, 8, 4};
  for (size_t i = 0; codes[i] != '\0'; i++) {
    mp_number_type t;
    CHECK_EQ(mp_array_type(codes[i], &t), 0);
    CHECK_EQ(t.size, sizes[i]);
  }
  mp_number_type t;
  CHECK_EQ(mp_array_type('x', &t), -EINVAL);
  CHECK_EQ(mp_array_type('\0', &t), -EINVAL);
  CHECK_EQ(mp_array_type((char)0xe4, &t), -EINVAL);
}

TEST(reals_round_and_do_not_overflow) {
  struct mp_context *c = open_context();
  mp_array *f = make(c, 'f', 2), *d = make(c, 'd', 1);
  mp_number n;
  CHECK_EQ(mp_array_set(f, 0, real(0.1)), 0);
  CHECK_EQ(mp_array_get(f, 0, &n), 0);
  CHECK(n.f == (double)0.1f);
  CHECK_EQ(mp_array_set(f, 0, real(1e300)), -ERANGE);
  CHECK_EQ(mp_array_set(f, 0, real(INFINITY)), 0);
  CHECK_EQ(mp_array_set(f, 0, real(NAN)), 0);
  CHECK_EQ(mp_array_set(d, 0, real(-1e300)), 0);
  CHECK_EQ(mp_array_add(d, 0, real(-0.5), &n), 0);
  CHECK(n.f == -1e300 - 0.5);
  mp_array_close(f);
  mp_array_close(d);
  check_all(c);
  mp_context_close(c);
}

TEST(exchange_and_compare_exchange) {
  struct mp_context *c = open_context();
  mp_array *a = make(c, 'h', 1), *d = make(c, 'd', 1);
  mp_number was;
  int done = -1;
  CHECK_EQ(mp_array_set(a, 0, integer(-7)), 0);
  CHECK_EQ(mp_array_exchange(a, 0, integer(8), &was), 0);
  CHECK_EQ(was.i, -7);
  CHECK_EQ(mp_array_exchange(a, 0, integer(40000), &was), -ERANGE);
  CHECK_EQ(mp_array_compare_exchange(a, 0, integer(7), integer(9), &done), 0);
  CHECK_EQ(done, 0);
  CHECK_EQ(get(a, 0), 8);
  CHECK_EQ(mp_array_compare_exchange(a, 0, integer(8), integer(-32768), &done), 0);
  CHECK_EQ(done, 1);
  CHECK_EQ(get(a, 0), -32768);
  CHECK_EQ(mp_array_set(d, 0, real(-0.0)), 0); /* compared as numbers, not as bits */
  CHECK_EQ(mp_array_compare_exchange(d, 0, real(0.0), real(1.5), &done), 0);
  CHECK_EQ(done, 1);
  mp_array_close(a);
  mp_array_close(d);
  mp_context_close(c);
}

TEST(spans_are_read_and_written) {
  struct mp_context *c = open_context();
  int16_t in[5] = {1, -2, 3, -4, 5}, out[5] = {0};
  mp_array *a;
  mp_array_options o = {.code = 'h', .count = 5, .elements = in};
  CHECK_EQ(mp_array_new(c, &o, &a), 0);
  CHECK_EQ(get(a, 3), -4);
  CHECK_EQ(mp_array_read(a, 1, 3, out), 0);
  CHECK(out[0] == -2 && out[1] == 3 && out[2] == -4 && out[3] == 0);
  CHECK_EQ(mp_array_write(a, 0, 2, out + 1), 0);
  CHECK_EQ(get(a, 0), 3);
  CHECK_EQ(get(a, 1), -4);
  CHECK_EQ(mp_array_read(a, 5, 0, out), 0);
  CHECK_EQ(mp_array_read(a, 5, 1, out), -EINVAL);
  CHECK_EQ(mp_array_write(a, 1, 5, in), -EINVAL);
  CHECK_EQ(mp_array_write(a, SIZE_MAX, 2, in), -EINVAL);
  mp_number n;
  CHECK_EQ(mp_array_get(a, 5, &n), -EINVAL);
  CHECK_EQ(mp_array_set(a, SIZE_MAX, integer(0)), -EINVAL);
  mp_array_close(a);
  check_all(c);
  mp_context_close(c);
}

TEST(numbers_pack_to_the_bytes_of_c) {
  unsigned char bytes[8];
  int32_t i;
  float f;
  mp_number n;
  CHECK_EQ(mp_number_pack('i', integer(-3), bytes), 0);
  memcpy(&i, bytes, sizeof i);
  CHECK_EQ(i, -3);
  CHECK_EQ(mp_number_unpack('i', bytes, &n), 0);
  CHECK_EQ(n.i, -3);
  CHECK_EQ(mp_number_pack('f', real(1.25), bytes), 0);
  memcpy(&f, bytes, sizeof f);
  CHECK(f == 1.25f);
  CHECK_EQ(mp_number_pack('b', integer(128), bytes), -ERANGE);
  CHECK_EQ(mp_number_pack('?', integer(0), bytes), -EINVAL);
}

TEST(what_cannot_be_made_leaves_nothing) {
  struct mp_context *c = open_context();
  mp_array *a;
  mp_array_options o = {.code = 'z', .count = 1};
  CHECK_EQ(mp_array_new(c, &o, &a), -EINVAL);
  o = (mp_array_options){.code = 'd', .count = SIZE_MAX / 4};
  CHECK_EQ(mp_array_new(c, &o, &a), -ENOMEM);
  o.count = 100 << 20;
  CHECK_EQ(mp_array_new(c, &o, &a), -ENOMEM);
  mp_heap_flush(c);
  CHECK_EQ(mp_heap_usage(c).allocated, 0);
  a = make(c, 'd', 0); /* none at all is fine */
  CHECK_EQ(mp_array_shape_of(a).count, 0);
  mp_array_close(a);
  check_all(c);
  mp_context_close(c);
}

#define ROUNDS 20000

static void *adder(void *arg) {
  struct mp_handle *h = arg;
  struct mp_context *c = open_context();
  mp_array *a;
  mp_number sum;
  CHECK_EQ(mp_handle_open(c, mp_handle_ticket(h), &a), 0);
  for (int i = 0; i < ROUNDS; i++) CHECK_EQ(mp_array_add(a, (size_t)i % 3, integer(1), &sum), 0);
  mp_array_close(a);
  mp_context_close(c);
  return NULL;
}

TEST(no_addition_is_lost) {
  struct mp_context *c = open_context();
  for (const char *code = "HiQ"; *code != '\0'; code++) {
    mp_array *a = make(c, *code, 3);
    pthread_t t[2];
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&t[i], NULL, adder, a), 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    CHECK_EQ(get(a, 0) + get(a, 1) + get(a, 2), 2 * ROUNDS);
    mp_array_close(a);
  }
  check_all(c);
  mp_context_close(c);
}

TEST(a_child_has_its_parents_array) {
  struct mp_context *c = open_context();
  mp_array *a = make(c, 'i', 1);
  pid_t pid = fork();
  if (pid == 0) {
    CHECK_EQ(mp_array_set(a, 0, integer(42)), 0);
    mp_context_close(c);
    _exit(0);
  }
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  CHECK_EQ(get(a, 0), 42);
  mp_array_close(a);
  check_all(c);
  mp_context_close(c);
}
