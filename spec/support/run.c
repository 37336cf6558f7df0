/*
** Runs a program as a person would, in a time limit, and tells how it went. For the specs,
** which can thus look at whole programs without trusting the module that they test.
**
**   run [-p] [-w DIR] LIMIT GRACE OUT ERR REPORT PROGRAM ARGUMENT...
**
** Standard output and error go to the files OUT and ERR (- for the same file); with -p the program
** has a terminal, whose text goes to OUT. REPORT gets one line of Lua: how it ended, the seconds it
** took and the processes that were left GRACE seconds after its end (which are then killed).
*/
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(125);
}

static int output(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail(path);
  return fd;
}

/* Moves what the terminal has to the file. False when all its users are gone. */
static int copy_terminal(int terminal, int out, int milliseconds) {
  struct pollfd p = {terminal, POLLIN, 0};
  char text[4096];
  if (poll(&p, 1, milliseconds) <= 0) return 1;
  ssize_t n = read(terminal, text, sizeof text);
  if (n <= 0) return n < 0 && (errno == EINTR || errno == EAGAIN);
  return write(out, text, (size_t)n) == n;
}

/* We may have been started by nohup, or in the background, with signals ignored. */
static void signals_as_usual(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
}

static pid_t start(int with_terminal, int *terminal, int out, int err, char **program) {
  pid_t pid = with_terminal ? forkpty(terminal, NULL, NULL, NULL) : fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return pid;
  if (!with_terminal) {
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) fail("dup2");
    if (null > 2) close(null);
  }
  signals_as_usual();
  execvp(program[0], program);
  fail(program[0]);
  return -1;
}

/* Waits for the program; false when its time was up. */
static int wait_program(pid_t pid, int terminal, int out, double end, siginfo_t *info) {
  while (now() < end) {
    info->si_pid = 0;
    if (waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT) == 0 && info->si_pid == pid)
      return 1;
    if (terminal < 0 || !copy_terminal(terminal, out, 2)) poll(NULL, 0, 2);
  }
  return 0;
}

static int read_children(char *line, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, line, size - 1);
  if (fd >= 0) close(fd);
  line[n > 0 ? n : 0] = '\0';
  return n > 0;
}

static void reap(void) {
  while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

/* The orphans that the program left behind came to us. Gives the number that outlived the
** grace; ends them all, and theirs. */
static int end_the_rest(double grace, int terminal, int out, char *left, size_t size) {
  char line[1024];
  double end = now() + grace;
  int count = 0;
  for (reap(); read_children(line, sizeof line) && now() < end; reap())
    if (terminal < 0 || !copy_terminal(terminal, out, 2)) poll(NULL, 0, 2);
  snprintf(left, size, "%s", line);
  for (double stop = now() + 5; read_children(line, sizeof line) && now() < stop; reap()) {
    char *rest = line;
    for (char *word; (word = strtok_r(rest, " \n", &rest)) != NULL; count++)
      kill((pid_t)atoi(word), SIGKILL);
    poll(NULL, 0, 1);
  }
  return count;
}

static void report(const char *path, const siginfo_t *info, int in_time, double took,
                   const char *left) {
  FILE *f = fopen(path, "w");
  if (f == NULL) fail(path);
  fprintf(f, "return {timed_out = %s, elapsed = %.6f, left = {", in_time ? "false" : "true", took);
  for (; *left != '\0'; left++) fputc(*left == ' ' ? ',' : *left, f);
  fputs("}", f);
  if (in_time && info->si_code == CLD_EXITED) fprintf(f, ", status = %d", info->si_status);
  if (in_time && info->si_code != CLD_EXITED) fprintf(f, ", signal = %d", info->si_status);
  fputs("}\n", f);
  if (fclose(f) != 0) fail(path);
}

int main(int argc, char **argv) {
  int with_terminal = 0, terminal = -1, option;
  char left[1024];
  siginfo_t info = {0};
  while ((option = getopt(argc, argv, "+pw:")) != -1) {
    if (option == 'p') with_terminal = 1;
    if (option == 'w' && chdir(optarg) != 0) fail(optarg);
  }
  argv += optind;
  if (argc - optind < 6) return 125;
  int out = output(argv[2]), err = strcmp(argv[3], "-") == 0 ? out : output(argv[3]);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  double begin = now();
  pid_t pid = start(with_terminal, &terminal, out, err, argv + 5);
  int in_time = wait_program(pid, terminal, out, begin + atof(argv[0]), &info);
  double took = now() - begin;
  if (!in_time) kill(-pid, SIGKILL), kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  end_the_rest(in_time ? atof(argv[1]) : 0, terminal, out, left, sizeof left);
  while (terminal >= 0 && copy_terminal(terminal, out, 0)) {
    struct pollfd p = {terminal, POLLIN, 0};
    if (poll(&p, 1, 0) <= 0) break;
  }
  report(argv[4], &info, in_time, took, left);
  return 0;
}
