/*
** The harness of the C tests. A test program includes this file and holds cases:
**
**     TEST(queue_keeps_order) { CHECK(mp_queue_check(q) == 0); CHECK_EQ(n, 3); }
**
** Each case runs in a process of its own, with a time limit, and is asked at its end: are the
** descriptors those that you began with, is no child left? Naming cases on the command line
** runs them here, without fork and limit, for a debugger. The last line that a program prints
** is "N passed, N failed". MP_SLOW=n stretches every limit and tolerance n times.
*/
#ifndef SPEC_CORE_TEST_H
#define SPEC_CORE_TEST_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_TOOL __attribute__((unused)) static
#define TEST_LIMIT 30 /* seconds that a case may take; LONG_TEST says otherwise */
#define TOLERANCE (0.25 * test_slow()) /* seconds that a timed result may be late */

struct test_case {
  const char *name;
  void (*body)(void);
  unsigned limit;       /* seconds */
  const char *expected; /* for must-fail cases: a part of the complaint; NULL: must pass */
  struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
/* What a program has to say when all cases are done, or NULL. */
static void (*test_last_words)(void);
static char *test_complaint; /* one page, shared with every process of a case; "" while well */
static volatile sig_atomic_t test_running, test_hung; /* the pid of the case; its time is up */

#define TEST_DEFINE(case_name, seconds, complaint)                                         \
  static void case_##case_name(void);                                                      \
  static struct test_case entry_##case_name = {#case_name, case_##case_name, seconds,      \
                                               complaint, NULL};                           \
  __attribute__((constructor)) static void add_##case_name(void) {                         \
    *test_last = &entry_##case_name;                                                       \
    test_last = &entry_##case_name.next;                                                   \
  }                                                                                        \
  static void case_##case_name(void)
#define TEST(name) TEST_DEFINE(name, TEST_LIMIT, NULL)
/* A case about memory maps or page faults, which the sanitizers' own would spoil. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN_TEST(name) TEST_TOOL void case_##name(void)
#else
#define PLAIN_TEST(name) TEST(name)
#endif
#define LONG_TEST(name, seconds) TEST_DEFINE(name, seconds, NULL)
#define MUST_FAIL(name, seconds, complaint) TEST_DEFINE(name, seconds, complaint)

/* CHECK may be used in any process of a case: the first complaint fails the case. */
#define CHECK(x) ((x) ? (void)0 : test_fail(__FILE__, __LINE__, "%s", #x))
#define CHECK_EQ(a, b) test_equal(__FILE__, __LINE__, #a " == " #b, (intmax_t)(a), (intmax_t)(b))
#define CHECK_STR(a, b) \
  (strcmp(a, b) == 0 ? (void)0 : test_fail(__FILE__, __LINE__, "%s is \"%s\"", #a, a))
/* That `seconds` are about `wanted`: not early, and late by no more than the tolerance. */
#define CHECK_TOOK(seconds, wanted)                                                 \
  ((seconds) >= (wanted) - 0.002 && (seconds) <= (wanted) + TOLERANCE               \
       ? (void)0                                                                    \
       : test_fail(__FILE__, __LINE__, "took %.3f s instead of %.3f", (seconds), (wanted)))

TEST_TOOL double test_slow(void) {
  const char *s = getenv("MP_SLOW");
  return s != NULL && atof(s) > 1 ? atof(s) : 1;
}

TEST_TOOL double test_now(void) { /* seconds, monotonic */
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

TEST_TOOL void test_sleep(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
}

__attribute__((unused, format(printf, 3, 4), noreturn)) static void test_fail(
    const char *file, int line, const char *format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (test_complaint != NULL && test_complaint[0] == '\0')
    snprintf(test_complaint, 512, "%s:%d: %s", file, line, text);
  fprintf(stderr, "%s:%d: %s\n", file, line, text);
  if (test_running == 0) abort(); /* under a debugger, stop right here */
  _exit(1);
}

TEST_TOOL void test_equal(const char *file, int line, const char *what,
                                               intmax_t a, intmax_t b) {
  if (a != b) test_fail(file, line, "%s, but %jd is not %jd", what, a, b);
}

/* The number of open descriptors, without the one that looks. */
TEST_TOOL int test_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = -1;
  if (d == NULL) return -1;
  for (struct dirent *e; (e = readdir(d)) != NULL;)
    if (e->d_name[0] != '.') n++;
  closedir(d);
  return n;
}

/* Waits until f(x) holds; false when it did not within a few seconds. */
TEST_TOOL int test_eventually(int (*f)(void *), void *x) {
  for (double end = test_now() + 5 * test_slow(); test_now() < end; test_sleep(0.002))
    if (f(x)) return 1;
  return f(x);
}

/* In the case's process: run the body, then ask the questions. */
static void test_body(struct test_case *t) {
  int before = test_descriptors(), status;
  t->body();
  pid_t left = waitpid(-1, &status, WNOHANG);
  if (left == 0) test_fail(t->name, 0, "a child is left running");
  if (left > 0) test_fail(t->name, 0, "a child was not waited for (zombie %d)", (int)left);
  if (test_descriptors() != before)
    test_fail(t->name, 0, "leaked descriptors: %d before, %d after", before, test_descriptors());
#ifdef __SANITIZE_ADDRESS__
  int __lsan_do_recoverable_leak_check(void);
  if (__lsan_do_recoverable_leak_check() != 0) test_fail(t->name, 0, "leaked memory");
#endif
}

static void test_alarm(int signal_number) {
  (void)signal_number;
  test_hung = 1;
  if (test_running > 1) kill(-(pid_t)test_running, SIGKILL);
}

/* Orphans of the case were handed to us. Those that have ended are nobody's fault; one that
** runs on after a moment is a leak, and is killed. */
static int test_orphans(void) {
  for (double end = test_now() + TOLERANCE; test_now() < end; test_sleep(0.005)) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {}
    if (pid < 0) return 0;
  }
  kill(-(pid_t)test_running, SIGKILL);
  return 1;
}

/* Runs one case in a process of its own; what is wrong stands in test_complaint. */
static void test_forked(struct test_case *t) {
  int status = 0;
  test_complaint[0] = '\0';
  test_hung = 0;
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    test_running = 1;
    test_body(t);
    fflush(NULL);
    _exit(0);
  }
  setpgid(pid, pid);
  test_running = pid;
  alarm((unsigned)(t->limit * test_slow()));
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  alarm(0);
  int orphans = test_orphans();
  if (test_hung)
    snprintf(test_complaint, 512, "hung: not done after %g s", t->limit * test_slow());
  else if (test_complaint[0] != '\0')
    return;
  else if (WIFSIGNALED(status))
    snprintf(test_complaint, 512, "crashed: %s", strsignal(WTERMSIG(status)));
  else if (WEXITSTATUS(status) != 0)
    snprintf(test_complaint, 512, "exit status %d", WEXITSTATUS(status));
  else if (orphans)
    snprintf(test_complaint, 512, "an orphan is left running");
}

/* Whether the case went as it should. */
static int test_one(struct test_case *t) {
  test_forked(t);
  int good = t->expected == NULL ? test_complaint[0] == '\0'
                                 : strstr(test_complaint, t->expected) != NULL;
  if (!good)
    printf("FAILED %s: %s%s\n", t->name, test_complaint,
           t->expected != NULL ? " (this case must fail, in another way)" : "");
  return good;
}

int main(int argc, char **argv) {
  int passed = 0, failed = 0, found = 0;
  for (int i = 1; i < argc; i++)
    for (struct test_case *t = test_first; t != NULL; t = t->next)
      if (strcmp(t->name, argv[i]) == 0) found++, t->body();
  if (argc > 1) return found == argc - 1 ? 0 : (fprintf(stderr, "no such case\n"), 2);
  test_complaint = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGALRM, test_alarm);
  for (struct test_case *t = test_first; t != NULL; t = t->next)
    test_one(t) ? passed++ : failed++;
  if (test_last_words != NULL) test_last_words();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}

#endif
