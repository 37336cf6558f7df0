/* The heap: blocks, magazines, runs, limits. */
#include "../../src/core/context.h"
#include "test.h"

static struct mp_context *open_context(size_t memory) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = memory, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static void check_heap(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

TEST(every_size_has_room) {
  struct mp_context *c = open_context(200 << 20);
  for (size_t bytes = 1; bytes < 300000; bytes = bytes * 5 / 4 + 1) {
    mp_ref block;
    CHECK_EQ(mp_heap_reserve(c, bytes, MP_BLOCK_PLAIN, &block), 0);
    CHECK(mp_heap_room(c, block) >= bytes);
    CHECK(mp_heap_is_block(c, block));
    memset(mp_at(c, block), 0xff, bytes);
    check_heap(c);
    mp_heap_unreserve(c, block);
    check_heap(c);
  }
  CHECK(mp_context_close(c) == NULL);
}

TEST(blocks_do_not_overlap) {
  struct mp_context *c = open_context(200 << 20);
  mp_ref block[MP_OWNED_MAX];
  for (size_t bytes = 1; bytes < 100000; bytes *= 3) {
    for (uint32_t i = 0; i < MP_OWNED_MAX; i++) {
      CHECK_EQ(mp_heap_reserve(c, bytes, MP_BLOCK_PLAIN, &block[i]), 0);
      memset(mp_at(c, block[i]), (int)i + 1, bytes);
    }
    for (uint32_t i = 0; i < MP_OWNED_MAX; i++) {
      const unsigned char *at = mp_at(c, block[i]);
      for (size_t k = 0; k < bytes; k++) CHECK_EQ(at[k], i + 1);
      mp_heap_unreserve(c, block[i]);
    }
  }
  check_heap(c);
  mp_context_close(c);
}

TEST(the_limit_is_an_error_that_changed_nothing) {
  struct mp_context *c = open_context(8 << 20);
  mp_ref block, kept;
  CHECK_EQ(mp_heap_reserve(c, 4 << 20, MP_BLOCK_PLAIN, &kept), 0);
  struct mp_heap_usage before = mp_heap_usage(c);
  CHECK_EQ(mp_heap_reserve(c, 6 << 20, MP_BLOCK_PLAIN, &block), -ENOMEM);
  CHECK_EQ(mp_heap_reserve(c, SIZE_MAX / 2, MP_BLOCK_PLAIN, &block), -ENOMEM);
  struct mp_heap_usage after = mp_heap_usage(c);
  CHECK_EQ(before.committed, after.committed);
  CHECK_EQ(before.allocated, after.allocated);
  check_heap(c);
  mp_heap_unreserve(c, kept);
  CHECK_EQ(mp_heap_reserve(c, 6 << 20, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(c, block);
  check_heap(c);
  mp_context_close(c);
}

TEST(free_memory_goes_back_to_the_system) {
  struct mp_context *c = open_context(200 << 20);
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(c, 150 << 20, MP_BLOCK_PLAIN, &block), 0);
  CHECK(mp_heap_usage(c).committed >= 150 << 20);
  mp_heap_unreserve(c, block); /* more than the 64 MiB that are kept */
  CHECK(mp_heap_usage(c).committed < 64 << 20);
  check_heap(c);
  CHECK_EQ(mp_heap_reserve(c, 20 << 20, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(c, block);
  CHECK(mp_heap_usage(c).committed >= 20 << 20); /* kept: somebody may want it again */
  mp_heap_trim(c);
  mp_heap_trim(c); /* nobody did */
  CHECK(mp_heap_usage(c).committed < 2 << 20);
  check_heap(c);
  mp_context_close(c);
}

TEST(where_there_is_much_memory_more_of_it_is_kept) {
  struct mp_context *c = open_context((size_t)16 << 30); /* a 64th of that: 256 MiB */
  mp_ref block;
  CHECK_EQ(mp_heap_reserve(c, 150 << 20, MP_BLOCK_PLAIN, &block), 0);
  mp_heap_unreserve(c, block);
  CHECK(mp_heap_usage(c).committed >= 150 << 20);
  mp_heap_trim(c);
  CHECK(mp_heap_usage(c).committed >= 150 << 20); /* it was in use since the last look */
  mp_heap_trim(c);
  CHECK(mp_heap_usage(c).committed < 2 << 20);
  check_heap(c);
  mp_context_close(c);
}
