/*
** What the tests of locks, semaphores, events, conditions and barriers share: real processes
** that take part, and a look at the whole arena.
*/
#ifndef SPEC_CORE_SYNC_H
#define SPEC_CORE_SYNC_H

#include "../../src/core/context.h"
#include "test.h"

/* Open for the whole case; the children have copies of it. */
__attribute__((unused)) static struct mp_context *sync_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

__attribute__((unused)) static void sync_check(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

/* fork(): true in the child, which ends by sync_exit. */
__attribute__((unused)) static bool sync_fork(struct mp_context *c, int *pid) {
  uint32_t child;
  CHECK_EQ(mp_context_fork(c, false, pid, &child), 0);
  return *pid == 0;
}

__attribute__((unused, noreturn)) static void sync_exit(void) {
  fflush(NULL);
  _exit(0);
}

__attribute__((unused)) static void sync_join(int pid) {
  int status, got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR); /* some cases have signals come all the time */
  CHECK_EQ(got, pid);
  CHECK_EQ(status, 0);
}

__attribute__((unused)) static void sync_kill(int pid) {
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* Memory that the processes of a case share besides the arena. */
__attribute__((unused)) static volatile long *sync_board(void) {
  void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

__attribute__((unused)) static void sync_await(volatile long *cell, long value) {
  for (double end = test_now() + 10 * test_slow(); *cell != value; test_sleep(0.001))
    if (test_now() > end)
      test_fail(__FILE__, __LINE__, "waited in vain for %ld: it is %ld", value, *cell);
}

__attribute__((unused)) static void sync_add(volatile long *cell, long n) {
  __atomic_add_fetch(cell, n, __ATOMIC_SEQ_CST);
}

/* Is the process asleep in the kernel? */
__attribute__((unused)) static int sync_asleep(void *pid) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", *(int *)pid);
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = '\0';
  const char *name_end = strrchr(text, ')');
  return name_end != NULL && name_end[2] == 'S';
}

__attribute__((unused)) static void sync_await_sleep(int pid) {
  CHECK(test_eventually(sync_asleep, &pid));
  test_sleep(0.01);
}

#endif
