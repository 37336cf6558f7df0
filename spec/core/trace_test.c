/* The flight recorder. Other builds leave it out, so this program brings it along. */
#include "test.h"

#ifndef MP_TRACE
#include "../../src/core/trace.h"
static int evaluations_when_off(void) {
  unsigned evaluations = 0;
  MP_TRACE_WORD(1u, evaluations++, 0u, 1u);
  return (int)evaluations;
}
#undef MP_TRACE_H
#undef MP_TRACE_WORD
#define MP_TRACE 1
#define mp_trace_dump mp_trace_dump_recorded
#define mp_trace_event mp_trace_event_recorded
#include "../../src/core/trace.c"

TEST(an_ordinary_build_records_and_evaluates_nothing) {
  CHECK_EQ(evaluations_when_off(), 0);
}
#else
#include "../../src/core/trace.h"
#endif

/* The dump's text, in a buffer of the caller; the number of lines. */
static size_t dump(char *text, size_t size) {
  FILE *out = fmemopen(text, size, "w");
  size_t n = mp_trace_dump(out);
  fclose(out);
  return n;
}

TEST(an_event_is_told_whole) {
  char text[300];
  MP_TRACE_WORD(7u, 0x40u, 1u, 2u); const int line = __LINE__;
  CHECK_EQ(dump(text, sizeof text), 1);
  char wanted[100];
  snprintf(wanted, sizeof wanted, "0 process 7 trace_test.c:%d word 0x40: 0x1 -> 0x2\n", line);
  CHECK_STR(text, wanted);
}

TEST(a_long_name_keeps_its_end) {
  char text[300];
  const struct mp_trace_event event = { .file = "a/b/a_name_of_more_than_24_characters.c" };
  mp_trace_record(&event);
  CHECK_EQ(dump(text, sizeof text), 1);
  CHECK(strstr(text, "process 0 ore_than_24_characters.c:0 ") != NULL);
}

TEST(a_ring_keeps_the_latest_oldest_first) {
  char text[2000];
  size_t size = mp_trace_size(4);
  void *memory = aligned_alloc(64, mp_round_up(size, 64));
  memset(memory, 0, size);
  mp_trace_use(memory, size);
  for (unsigned i = 0; i < 10; i++) MP_TRACE_WORD(1u, i, 0u, 0u);
  CHECK_EQ(dump(text, sizeof text), 4);
  CHECK(strncmp(text, "6 ", 2) == 0);
  CHECK(strstr(text, "\n9 ") != NULL);
  mp_trace_use(NULL, 0);
  CHECK_EQ(dump(text, sizeof text), 0);
  free(memory);
}

TEST(the_events_of_the_killed_are_kept) {
  char text[2000];
  const size_t size = 65536;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  mp_trace_use(memory, size);
  pid_t pid = fork();
  if (pid == 0) {
    MP_TRACE_WORD(3u, 0x10u, 0u, 9u);
    kill(getpid(), SIGKILL);
  }
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  MP_TRACE_WORD(4u, 0x10u, 9u, 0u);
  CHECK_EQ(dump(text, sizeof text), 2);
  CHECK(strstr(text, "0 process 3 ") != NULL && strstr(text, "1 process 4 ") != NULL);
  munmap(memory, size);
}
