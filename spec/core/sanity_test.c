/* The tests that must fail: they prove that the harness sees what it is there to see. */
#include "test.h"

#include <fcntl.h>

TEST(a_good_case_passes) {
  CHECK(1 + 1 == 2);
  CHECK_EQ(2, 2);
}

TEST(children_and_descriptors_that_are_given_back_are_no_leak) {
  int fd = open("/dev/null", O_RDONLY);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  CHECK_EQ(close(fd), 0);
}

MUST_FAIL(a_false_check, 5, "1 + 1 == 3") {
  CHECK(1 + 1 == 3);
}

MUST_FAIL(an_unequal_value, 5, "2 is not 3") {
  CHECK_EQ(1 + 1, 3);
}

MUST_FAIL(a_false_check_in_a_child, 5, "7 is not 8") {
  pid_t pid = fork();
  if (pid == 0) CHECK_EQ(7, 8);
  waitpid(pid, NULL, 0); /* the parent does not look at the status */
}

MUST_FAIL(a_leaked_descriptor, 5, "leaked descriptors") {
  CHECK(open("/dev/null", O_RDONLY) >= 0);
}

MUST_FAIL(a_closed_descriptor, 5, "leaked descriptors") {
  close(STDIN_FILENO);
}

MUST_FAIL(a_zombie, 5, "zombie") {
  siginfo_t info;
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

MUST_FAIL(a_running_child, 5, "a child is left running") {
  if (fork() == 0) pause();
}

MUST_FAIL(an_orphan, 5, "an orphan is left running") {
  pid_t pid = fork();
  if (pid == 0) {
    if (fork() == 0) pause();
    _exit(0);
  }
  waitpid(pid, NULL, 0);
}

MUST_FAIL(a_hang, 1, "hung") {
  for (;;) pause();
}

MUST_FAIL(a_hang_that_ignores_signals, 1, "hung") {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  for (;;) pause();
}

MUST_FAIL(an_abort, 5, "crashed: Aborted") {
  abort();
}

MUST_FAIL(a_kill, 5, "crashed: Killed") {
  kill(getpid(), SIGKILL);
}

MUST_FAIL(an_early_exit, 5, "exit status 3") {
  _exit(3);
}

MUST_FAIL(a_timeout_that_came_early, 5, "took 0.100 s instead of 0.500") {
  CHECK_TOOK(0.1, 0.5);
}

#ifdef __SANITIZE_ADDRESS__
MUST_FAIL(leaked_memory, 5, "leaked memory") {
  static void *volatile kept;
  CHECK((kept = malloc(7)) != NULL);
  kept = NULL;
}
#endif
