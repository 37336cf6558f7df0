/*
 * Times whole processes: `whole METRIC COUNT PROGRAM [ARGUMENT ...]` runs the program COUNT times,
 * one after the other, and prints the mean in milliseconds. What it prints goes nowhere.
 */
#include "floor.h"

#include <fcntl.h>
#include <spawn.h>

static void run_once(char **command) {
  static posix_spawn_file_actions_t quiet;
  static int ready = 0;
  pid_t pid;
  int status;
  if (!ready++) {
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
  }
  if (posix_spawnp(&pid, command[0], &quiet, NULL, command, environ) != 0)
    floor_fail(command[0]);
  if (waitpid(pid, &status, 0) < 0 || status != 0)
    floor_fail("the program failed");
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: whole METRIC COUNT PROGRAM [ARGUMENT ...]\n");
    return 2;
  }
  long n = floor_amount(atol(argv[2]));
  run_once(argv + 3); /* the files are in memory from here on */
  double start = floor_now();
  for (long i = 0; i < n; i++)
    run_once(argv + 3);
  floor_report(argv[1], (floor_now() - start) / (double)n * 1e3);
  return 0;
}
