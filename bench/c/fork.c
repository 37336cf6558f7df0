/* The floor of start_join: fork, _exit, waitpid. Mean microseconds of 300 after 5 not counted. */
#include "floor.h"

static void start_and_join(void) {
  pid_t pid = fork();
  if (pid < 0)
    floor_fail("fork");
  if (pid == 0)
    _exit(0);
  if (waitpid(pid, NULL, 0) < 0)
    floor_fail("waitpid");
}

int main(void) {
  long n = floor_amount(300);
  for (int i = 0; i < 5; i++)
    start_and_join();
  double start = floor_now();
  for (long i = 0; i < n; i++)
    start_and_join();
  floor_report("start_join", (floor_now() - start) / (double)n * 1e6);
  return 0;
}
