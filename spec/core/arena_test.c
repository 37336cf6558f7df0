/* The arena: what is attached, what is refused, what a small machine gets. */
#include <fcntl.h>
#include <sys/resource.h>

#include "../../src/core/arena.h"
#include "test.h"

static const struct mp_arena_options small = {
  .size = 64 << 20, .limit = 32 << 20, .signature = 42, .region = {4096, 10000, 4096, 0}};

static struct mp_arena create(void) {
  struct mp_arena a;
  CHECK_EQ(mp_arena_create(&small, &a), 0);
  const char *wrong = mp_arena_check(&a);
  CHECK_STR(wrong == NULL ? "" : wrong, "");
  return a;
}

TEST(another_mapping_sees_the_same) {
  struct mp_arena a = create(), b;
  const char *why;
  CHECK_EQ(mp_arena_attach(a.fd, 42, &b, &why), 0);
  unsigned char *mine = mp_arena_region(&a, MP_REGION_DATA);
  const unsigned char *theirs = mp_arena_region(&b, MP_REGION_DATA);
  CHECK_EQ(mp_arena_commit(&a, mine, 1), 0);
  *mine = 77;
  CHECK_EQ(*theirs, 77);
  mp_arena_detach(&b);
  mp_arena_detach(&a);
}

TEST(a_stranger_is_refused_with_a_sentence) {
  struct mp_arena a = create(), b;
  const char *why = NULL;
  CHECK_EQ(mp_arena_attach(a.fd, 43, &b, &why), MP_FOREIGN);
  CHECK(strstr(why, "version") != NULL);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK_EQ(mp_arena_attach(null, 42, &b, &why), MP_FOREIGN);
  close(null);
  mp_arena_detach(&a);
}

/* Each bit of the header's identity counts. */
TEST(one_flipped_bit_is_a_stranger) {
  struct mp_arena a = create(), b;
  struct mp_arena_header *h = mp_arena_head(&a);
  const char *why;
  for (int bit = 0; bit < 64; bit++) {
    w64_put(&h->magic, w64_get(&h->magic) ^ UINT64_C(1) << bit);
    CHECK_EQ(mp_arena_attach(a.fd, 42, &b, &why), MP_FOREIGN);
    w64_put(&h->magic, w64_get(&h->magic) ^ UINT64_C(1) << bit);
    w64_put(&h->pid_namespace, w64_get(&h->pid_namespace) ^ UINT64_C(1) << bit);
    CHECK_EQ(mp_arena_attach(a.fd, 42, &b, &why), MP_FOREIGN);
    CHECK(strstr(why, "pid namespace") != NULL);
    w64_put(&h->pid_namespace, w64_get(&h->pid_namespace) ^ UINT64_C(1) << bit);
    w64_put(&h->size, w64_get(&h->size) ^ UINT64_C(1) << bit);
    CHECK_EQ(mp_arena_attach(a.fd, 42, &b, &why), MP_FOREIGN);
    w64_put(&h->size, w64_get(&h->size) ^ UINT64_C(1) << bit);
  }
  CHECK_EQ(mp_arena_attach(a.fd, 42, &b, &why), 0);
  mp_arena_detach(&b);
  mp_arena_detach(&a);
}

TEST(nobody_can_truncate_it) {
  struct mp_arena a = create();
  CHECK(ftruncate(a.fd, 4096) != 0);
  CHECK(ftruncate(a.fd, 1 << 30) != 0);
  mp_arena_detach(&a);
}

TEST(punched_memory_is_zero_again) {
  struct mp_arena a = create();
  unsigned char *data = mp_arena_region(&a, MP_REGION_DATA);
  CHECK_EQ(mp_arena_commit(&a, data, 1 << 20), 0);
  memset(data, 0xff, 1 << 20);
  mp_arena_punch(&a, data, 1 << 20);
  for (int i = 0; i < 1 << 20; i += 999) CHECK_EQ(data[i], 0);
  mp_arena_detach(&a);
}

PLAIN_TEST(little_address_space_makes_a_little_arena) {
  struct rlimit r = {UINT64_C(600) << 20, UINT64_C(600) << 20};
  CHECK_EQ(setrlimit(RLIMIT_AS, &r), 0);
  struct mp_arena_options o = small;
  struct mp_arena a;
  o.size = UINT64_C(1) << 30;
  CHECK_EQ(mp_arena_create(&o, &a), 0);
  CHECK(a.size == 256 << 20);
  mp_arena_detach(&a);
}

TEST(a_file_size_limit_makes_a_little_arena_and_no_signal) {
  struct rlimit r = {100 << 20, 100 << 20};
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &r), 0);
  struct mp_arena_options o = small;
  struct mp_arena a;
  o.size = UINT64_C(300) << 20;
  CHECK_EQ(mp_arena_create(&o, &a), 0);
  CHECK(a.size <= 100 << 20);
  mp_arena_detach(&a);
}

#include "../../src/core/os_call.h"

/* Every system call of creation and attachment fails once: no descriptor is left, no crash. */
TEST(each_failing_call_leaves_nothing) {
  for (int n = 0;; n++) {
    struct mp_arena a;
    int before = test_descriptors();
    mp_os_fail_with = EMFILE;
    mp_os_fail_after = n;
    int r = mp_arena_create(&small, &a);
    bool outlived = mp_os_fail_after >= 0;
    mp_os_fail_after = -1;
    if (r == 0) mp_arena_detach(&a);
    CHECK(r <= 0);
    CHECK_EQ(test_descriptors(), before);
    if (outlived) break;
  }
}
