/* Processes: start, join, exit codes, signals, descriptors, daemons, the end of a parent. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "../../src/core/os.h"
#include "../../src/core/process.h"
#include "os_deny.h"
#include "test.h"

static mp_context *context(void) {
  mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 128 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static const mp_process_options plain = {.name = "child"};
static const mp_process_options daemon_options = {.name = "daemon", .daemon = 1};

/* Starts a child that runs body(c) and ends with what that gives. */
static mp_process *started(mp_context *c, const mp_process_options *o, int (*body)(mp_context *)) {
  mp_process *p;
  CHECK_EQ(mp_process_start(c, o, &p), 0);
  if (p == NULL) mp_process_exit(c, body(c));
  return p;
}

static mp_deadline soon(void) {
  return mp_in(10 * test_slow());
}

static int joined(mp_process *p) {
  int code = 0;
  CHECK_EQ(mp_process_join(p, soon()), 0);
  CHECK_EQ(mp_process_exit_code(p, &code), 0);
  return code;
}

static void arena_is_sound(mp_context *c) {
  mp_context_tend(c, true);
  const char *wrong = mp_check_arena(c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

static int return_7(mp_context *c) {
  (void)c;
  return 7;
}

static int sleep_long(mp_context *c) {
  (void)c;
  test_sleep(600);
  return 0;
}

/* ---- the end of a child ---- */

static void a_status_is_its_exit_code(void) {
  mp_context *c = context();
  mp_process *p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  CHECK(mp_process_id(p) > 0);
  CHECK_EQ(mp_process_join(p, MP_NOW), 0); /* again: it has ended for good */
  CHECK(mp_process_close(p) == NULL);
  arena_is_sound(c);
  mp_context_close(c);
}

TEST(the_status_is_the_exit_code) { a_status_is_its_exit_code(); }
TEST(the_status_without_pidfds) { without("pidfd_open", a_status_is_its_exit_code); }
TEST(the_status_without_wait_by_pidfd) { without("pidfd_wait", a_status_is_its_exit_code); }

static void a_signal_is_its_exit_code(void) {
  mp_context *c = context();
  mp_process *p = started(c, &plain, sleep_long);
  int code;
  CHECK_EQ(mp_process_exit_code(p, &code), MP_TIMEOUT);
  CHECK_EQ(mp_process_join(p, MP_NOW), MP_TIMEOUT);
  double before = test_now();
  CHECK_EQ(mp_process_join(p, mp_in(0.05)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - before, 0.05);
  CHECK_EQ(mp_process_signal(p, SIGKILL), 0);
  CHECK_EQ(joined(p), -SIGKILL);
  CHECK_EQ(mp_process_signal(p, SIGKILL), 0); /* nobody is there: no error, and no stranger */
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
}

TEST(a_signal_is_the_exit_code) { a_signal_is_its_exit_code(); }
TEST(a_signal_without_pidfds) { without("pidfd_open", a_signal_is_its_exit_code); }
TEST(a_signal_without_signal_by_pidfd) { without("pidfd_signal", a_signal_is_its_exit_code); }

TEST(a_killed_holder_is_known_with_its_exit_code) {
  mp_context *c = context();
  mp_lock *lock;
  int pid = 0, code = 0;
  CHECK_EQ(mp_lock_new(c, &lock), 0);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), 0);
  if (p == NULL) {
    CHECK_EQ(mp_lock_acquire(lock, MP_FOREVER), 0);
    kill(getpid(), SIGKILL);
  }
  CHECK_EQ(joined(p), -SIGKILL);
  CHECK_EQ(mp_lock_acquire(lock, soon()), MP_ABANDONED);
  CHECK_EQ(mp_lock_abandoned(lock, &pid, &code), 0);
  CHECK_EQ(pid, mp_process_id(p));
  CHECK_EQ(code, -SIGKILL);
  CHECK_EQ(mp_lock_release(lock), 0);
  mp_lock_close(lock);
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
}

static int is_locked(void *lock) {
  return mp_lock_locked(lock) || mp_lock_abandoned(lock, &(int){0}, &(int){0}) == 0;
}

TEST(an_end_gives_up_what_was_held_at_once) {
  mp_context *c = context();
  mp_lock *lock;
  CHECK_EQ(mp_lock_new(c, &lock), 0);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), 0);
  if (p == NULL) {
    CHECK_EQ(mp_lock_acquire(lock, MP_FOREVER), 0);
    mp_process_exit(c, 0);
  }
  CHECK(test_eventually(is_locked, lock));
  CHECK_EQ(mp_lock_acquire(lock, soon()), MP_ABANDONED); /* not joined yet */
  CHECK_EQ(joined(p), 0);
  mp_process_close(p);
  mp_lock_close(lock);
  mp_context_close(c);
}

/* ---- hosts that wait for everybody ---- */

TEST(a_host_that_ignores_sigchld_loses_no_status) {
  signal(SIGCHLD, SIG_IGN);
  mp_context *c = context();
  mp_process *p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
}

static mp_process *reaped_by_the_host(mp_context *c, int (*body)(mp_context *), int sig) {
  mp_process *p = started(c, &plain, body);
  if (sig != 0) CHECK_EQ(mp_process_signal(p, sig), 0);
  int status;
  CHECK_EQ(waitpid(-1, &status, 0), mp_process_id(p));
  return p;
}

static void a_host_that_waits_for_all(void) {
  mp_context *c = context();
  mp_process *p = reaped_by_the_host(c, return_7, 0);
  CHECK_EQ(joined(p), 7); /* its own word is left */
  mp_process_close(p);
  p = reaped_by_the_host(c, sleep_long, SIGKILL);
  int code = 1;
  CHECK_EQ(mp_process_join(p, soon()), 0);
  CHECK_EQ(mp_process_exit_code(p, &code), MP_LOST); /* nobody can know */
  CHECK_EQ(mp_process_signal(p, SIGKILL), 0);
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
}

TEST(a_host_that_waits_for_all_loses_no_status) { a_host_that_waits_for_all(); }
TEST(a_host_that_waits_for_all_without_pidfds) { without("pidfd_open", a_host_that_waits_for_all); }

/* ---- handles ---- */

static int readable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void the_sentinel(void) {
  mp_context *c = context();
  mp_process *p = started(c, &plain, sleep_long);
  int fd, late;
  CHECK_EQ(mp_process_sentinel(p, &fd), 0);
  CHECK(!readable(fd));
  CHECK_EQ(mp_process_signal(p, SIGTERM), 0);
  struct pollfd end = {.fd = fd, .events = POLLIN};
  CHECK_EQ(poll(&end, 1, (int)(5000 * test_slow())), 1);
  CHECK_EQ(joined(p), -SIGTERM);
  CHECK(readable(fd)); /* it stays so, until the handle is closed */
  mp_process_close(p);
  p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  CHECK_EQ(mp_process_sentinel(p, &late), 0);
  CHECK(readable(late));
  mp_process_close(p);
  mp_context_close(c);
}

TEST(a_sentinel_is_readable_at_the_end) { the_sentinel(); }
TEST(a_sentinel_without_pidfds) { without("pidfd_open", the_sentinel); }

TEST(a_child_has_no_say_over_its_siblings) {
  mp_context *c = context();
  mp_process *brother = started(c, &plain, sleep_long), *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), 0);
  if (p == NULL) {
    int code, fd;
    CHECK_EQ(mp_process_join(brother, MP_NOW), -ECHILD);
    CHECK_EQ(mp_process_exit_code(brother, &code), -ECHILD);
    CHECK_EQ(mp_process_signal(brother, SIGKILL), -ECHILD);
    CHECK_EQ(mp_process_sentinel(brother, &fd), -ECHILD);
    CHECK_EQ(mp_process_reap(c), 0);
    mp_process_close(brother);
    mp_process_exit(c, 0); /* and waits for nobody */
  }
  CHECK_EQ(joined(p), 0);
  CHECK_EQ(mp_process_signal(brother, SIGKILL), 0);
  CHECK_EQ(joined(brother), -SIGKILL);
  mp_process_close(brother);
  mp_process_close(p);
  mp_context_close(c);
}

static int reaped(void *c) {
  return mp_process_reap(c) == 0;
}

TEST(who_is_forgotten_is_reaped_all_the_same) {
  mp_context *c = context();
  for (int i = 0; i < 3; i++) mp_process_close(started(c, &plain, return_7));
  CHECK(test_eventually(reaped, c));
  CHECK(c->children == NULL);
  arena_is_sound(c);
  mp_context_close(c);
}

TEST(the_next_start_reaps) {
  mp_context *c = context();
  mp_process_close(started(c, &plain, return_7));
  siginfo_t info;
  CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0); /* a zombie now */
  mp_process *p = started(c, &plain, return_7);
  CHECK(c->children == p && p->next == NULL);
  CHECK_EQ(joined(p), 7);
  mp_process_close(p);
  mp_context_close(c);
}

TEST(a_context_may_leave_its_children) {
  mp_context *c = context();
  mp_process *p = started(c, &plain, sleep_long);
  int pid = mp_process_id(p), code;
  mp_process_abandon(c);
  mp_context_close(c);
  CHECK_EQ(mp_process_exit_code(p, &code), -ECHILD);
  mp_process_close(p);
  kill(pid, SIGKILL);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* ---- parents ---- */

static int knows_its_parent(mp_context *c) {
  mp_process *parent;
  CHECK_EQ(mp_process_parent(c, &parent), 0);
  CHECK_EQ(mp_process_id(parent), getppid());
  CHECK_EQ(mp_process_join(parent, MP_NOW), MP_TIMEOUT);
  CHECK_EQ(mp_process_join(parent, mp_in(0.02)), MP_TIMEOUT);
  mp_process_close(parent);
  return 0;
}

static void a_parent(void) {
  mp_context *c = context();
  mp_process *p;
  CHECK_EQ(mp_process_parent(c, &p), -ESRCH);
  p = started(c, &plain, knows_its_parent);
  CHECK_EQ(joined(p), 0);
  mp_process_close(p);
  mp_context_close(c);
}

TEST(a_child_knows_its_parent) { a_parent(); }
TEST(a_parent_without_pidfds) { without("pidfd_open", a_parent); }

static int tell[2]; /* a pipe: what a grandchild has to say */

static int waits_for_its_parent(mp_context *c) {
  mp_process *parent;
  CHECK_EQ(mp_process_parent(c, &parent), 0);
  CHECK_EQ(write(tell[1], "s", 1), 1);
  CHECK_EQ(mp_process_join(parent, soon()), 0);
  CHECK_EQ(write(tell[1], "e", 1), 1);
  return 0;
}

static char heard(void) {
  char said = '?';
  CHECK_EQ(read(tell[0], &said, 1), 1);
  return said;
}

TEST(a_child_can_wait_for_its_parent) {
  mp_context *c = context();
  CHECK_EQ(pipe(tell), 0);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), 0);
  if (p == NULL) {
    (void)started(c, &plain, waits_for_its_parent);
    CHECK_EQ(heard(), 's');
    kill(getpid(), SIGKILL);
  }
  CHECK_EQ(joined(p), -SIGKILL);
  CHECK_EQ(heard(), 'e');
  mp_process_close(p);
  close(tell[0]);
  close(tell[1]);
  mp_context_close(c);
}

/* ---- what a child begins with ---- */

static void on_signal(int sig) {
  (void)sig;
}

static int has_a_fresh_start(mp_context *c) {
  (void)c;
  struct sigaction now;
  sigset_t blocked;
  char byte;
  CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  CHECK(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
  CHECK(sigaction(SIGCHLD, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  CHECK(sigprocmask(SIG_SETMASK, NULL, &blocked) == 0 && !sigismember(&blocked, SIGUSR2));
  CHECK_EQ(read(STDIN_FILENO, &byte, 1), 0);
  CHECK_EQ(getchar(), EOF);
  return 0;
}

/* Something to read, with more in the buffer than was asked for. */
static void feed_stdin(void) {
  int fds[2];
  CHECK_EQ(pipe(fds), 0);
  CHECK_EQ(write(fds[1], "abcdef", 6), 6);
  CHECK_EQ(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
  close(fds[0]);
  close(fds[1]);
  CHECK_EQ(getchar(), 'a');
}

TEST(a_child_begins_without_its_parents_handlers) {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  signal(SIGUSR1, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);
  sigprocmask(SIG_BLOCK, &some, NULL);
  feed_stdin();
  mp_context *c = context();
  mp_process *p = started(c, &plain, has_a_fresh_start);
  CHECK_EQ(joined(p), 0);
  mp_process_close(p);
  CHECK_EQ(getchar(), 'b'); /* the parent's own is untouched */
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  CHECK(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
  mp_context_close(c);
}

static int keeps_all(mp_context *c) {
  (void)c;
  struct sigaction now;
  CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == on_signal);
  CHECK_EQ(getchar(), 'b');
  return 0;
}

TEST(a_bare_fork_goes_on_as_its_parent) {
  signal(SIGUSR1, on_signal);
  feed_stdin();
  mp_context *c = context();
  const mp_process_options copy = {.copy = 1};
  mp_process *p = started(c, &copy, keeps_all);
  CHECK_EQ(joined(p), 0);
  mp_process_close(p);
  mp_context_close(c);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig) {
  interrupted = sig;
}

static int is_interrupted(void *c) {
  (void)c;
  return interrupted;
}

static int joins_for_ever(mp_context *c) {
  c->interrupted = is_interrupted;
  mp_process *parent;
  CHECK_EQ(mp_process_parent(c, &parent), 0);
  CHECK_EQ(mp_process_join(parent, MP_FOREVER), MP_INTERRUPTED);
  mp_process_close(parent);
  return 5;
}

static void an_interruption(void) {
  signal(SIGINT, SIG_DFL); /* a shell's background job ignores it, and so would its children */
  mp_context *c = context();
  const mp_process_options o = {.interrupt = on_interrupt};
  for (int i = 0; i < 20; i++) { /* also in the child's first moment */
    mp_process *p = started(c, &o, joins_for_ever);
    if (i >= 10) test_sleep(0.002);
    CHECK_EQ(mp_process_signal(p, SIGINT), 0);
    CHECK_EQ(joined(p), 5);
    mp_process_close(p);
  }
  mp_context_close(c);
}

TEST(a_signal_interrupts_a_join) { an_interruption(); }

static int writes(mp_context *c) {
  (void)c;
  printf("child ");
  return 0;
}

TEST(buffered_output_is_neither_lost_nor_doubled) {
  int fds[2];
  char text[100] = "";
  CHECK_EQ(pipe(fds), 0);
  CHECK_EQ(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
  close(fds[1]);
  setvbuf(stdout, NULL, _IOFBF, 4096);
  mp_context *c = context();
  printf("parent ");
  mp_process *p = started(c, &plain, writes);
  CHECK_EQ(joined(p), 0);
  printf("end");
  fflush(stdout);
  close(STDOUT_FILENO);
  CHECK(read(fds[0], text, sizeof text - 1) > 0);
  close(fds[0]);
  CHECK_EQ(open("/dev/null", O_WRONLY), STDOUT_FILENO);
  CHECK_STR(text, "parent child end");
  mp_process_close(p);
  mp_context_close(c);
}

TEST(a_closed_standard_input_is_no_place_for_the_arena) {
  close(STDIN_FILENO);
  mp_context *c = context();
  CHECK(c->arena.fd > 2);
  mp_process *p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
  CHECK_EQ(open("/dev/null", O_RDONLY), STDIN_FILENO);
}

/* ---- the end of a parent ---- */

static int process_gone(void *pid) { /* a zombie has ended */
  return mp_os_process_gone(*(pid_t *)pid, 0);
}

/* The pid that a process of the case has written to the pipe. */
static pid_t heard_pid(void) {
  pid_t pid = 0;
  CHECK_EQ(read(tell[0], &pid, sizeof pid), sizeof pid);
  return pid;
}

static int says_its_pid_and_sleeps(mp_context *c) {
  pid_t pid = getpid();
  CHECK_EQ(write(tell[1], &pid, sizeof pid), sizeof pid);
  return sleep_long(c);
}

/* A child of ours that starts a daemon by `start` and is killed: the daemon ends. */
static void daemon_ends_with_its_parent(void (*start)(mp_context *)) {
  mp_context *c = context();
  CHECK_EQ(pipe(tell), 0);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), 0);
  if (p == NULL) {
    start(c);
    sleep_long(c);
  }
  pid_t daemon = heard_pid();
  test_sleep(0.02);
  CHECK(!process_gone(&daemon));
  CHECK_EQ(mp_process_signal(p, SIGKILL), 0);
  CHECK_EQ(joined(p), -SIGKILL);
  CHECK(test_eventually(process_gone, &daemon));
  mp_process_close(p);
  close(tell[0]);
  close(tell[1]);
  arena_is_sound(c);
  mp_context_close(c);
}

static void start_daemon(mp_context *c) {
  (void)started(c, &daemon_options, says_its_pid_and_sleeps);
}

TEST(a_daemon_ends_with_its_killed_parent) { daemon_ends_with_its_parent(start_daemon); }
#ifndef __SANITIZE_THREAD__ /* it has a thread of its own, and none may be made after a fork */
static void *start_in_thread(void *c) {
  mp_context *own = context(); /* each thread has its own participant */
  (void)c;
  (void)started(own, &daemon_options, says_its_pid_and_sleeps);
  return NULL;
}

static void start_daemon_by_thread(mp_context *c) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, start_in_thread, c), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0); /* the starter is gone, its process lives */
}

TEST(a_thread_may_start_a_daemon_and_end) { daemon_ends_with_its_parent(start_daemon_by_thread); }

static void thread_daemon_without_pidfds(void) {
  daemon_ends_with_its_parent(start_daemon_by_thread);
}
TEST(a_threads_daemon_without_pidfds) { without("pidfd_open", thread_daemon_without_pidfds); }
#endif

static int sleeps_a_little(mp_context *c) {
  (void)c;
  test_sleep(0.1);
  return 0;
}

static int minds_no_sigterm(mp_context *c) {
  signal(SIGTERM, SIG_IGN);
  return says_its_pid_and_sleeps(c);
}

TEST(the_end_terminates_daemons_and_joins_the_others) {
  mp_context *c = context();
  mp_process *daemon = started(c, &daemon_options, sleep_long);
  mp_process *worker = started(c, &plain, sleeps_a_little);
  double before = test_now();
  mp_process_finish(c);
  CHECK_TOOK(test_now() - before, 0.1);
  CHECK_EQ(joined(daemon), -SIGTERM);
  CHECK_EQ(joined(worker), 0);
  mp_process_close(daemon);
  mp_process_close(worker);
  mp_context_close(c);
}

TEST(a_daemon_that_minds_no_sigterm_is_killed) {
  mp_context *c = context();
  CHECK_EQ(pipe(tell), 0);
  mp_process *daemon = started(c, &daemon_options, minds_no_sigterm);
  (void)heard_pid();
  double before = test_now();
  mp_process_finish(c);
  CHECK_TOOK(test_now() - before, 2.0);
  CHECK_EQ(joined(daemon), -SIGKILL);
  mp_process_close(daemon);
  close(tell[0]);
  close(tell[1]);
  mp_context_close(c);
}

static int has_children_at_its_end(mp_context *c) {
  (void)started(c, &daemon_options, says_its_pid_and_sleeps);
  (void)started(c, &plain, sleeps_a_little);
  return 3;
}

TEST(a_child_finishes_its_own_children) {
  mp_context *c = context();
  CHECK_EQ(pipe(tell), 0);
  mp_process *p = started(c, &plain, has_children_at_its_end);
  CHECK_EQ(joined(p), 3);
  pid_t daemon;
  if (read(tell[0], &daemon, 0) == 0) {} /* it may have been terminated before it said anything */
  mp_process_close(p);
  close(tell[0]);
  close(tell[1]);
  arena_is_sound(c);
  mp_context_close(c);
}

/* exit() of a process that asked for it, and of a fork of it by foreign means. */
static void exits_with_a_daemon(bool by_fork) {
  mp_context *c = context();
  if (mp_process_finish_at_exit(c) != 0) _exit(2);
  mp_process_close(started(c, &daemon_options, sleep_long));
  if (by_fork && fork() == 0) exit(0); /* must leave its parent's children alone */
  if (by_fork) CHECK(waitpid(-1, NULL, 0) > 0);
  if (by_fork) CHECK_EQ(mp_process_reap(c), 1);
  exit(0);
}

static void finishes_at_exit(bool by_fork) {
  int status;
  pid_t pid = fork();
  if (pid == 0) exits_with_a_daemon(by_fork);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
}

TEST(exit_finishes_where_it_was_asked_for) { finishes_at_exit(false); }
TEST(exit_of_a_foreign_fork_finishes_nothing) { finishes_at_exit(true); }

/* ---- threads ---- */

static void *wait_at_pipe(void *arg) {
  (void)arg;
  (void)heard();
  return NULL;
}

PLAIN_TEST(threads_are_counted) {
  pthread_t thread;
  CHECK_EQ(pipe(tell), 0);
  CHECK_EQ(mp_os_threads(), 1);
  CHECK_EQ(pthread_create(&thread, NULL, wait_at_pipe, NULL), 0);
  CHECK_EQ(mp_os_threads(), 2);
  CHECK_EQ(write(tell[1], "e", 1), 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(mp_os_threads(), 1);
  close(tell[0]);
  close(tell[1]);
}

/* ---- everything that can fail ---- */

static void start_once(mp_context *c, int *r) {
  mp_process *p = NULL;
  *r = mp_process_start(c, &plain, &p);
  mp_os_fail_after = *r == 0 && p == NULL ? -1 : mp_os_fail_after;
  if (*r == 0 && p == NULL) mp_process_exit(c, 9);
  if (*r != 0) return;
  int left = mp_os_fail_after;
  mp_os_fail_after = -1;
  CHECK_EQ(joined(p), 9);
  mp_process_close(p);
  mp_os_fail_after = left;
}

static void every_call_of_start_fails(void) {
  mp_context *c = context();
  int r, failures = 0;
  start_once(c, &r);
  for (int n = 0;; n++) {
    int before = test_descriptors();
    mp_os_fail_after = n;
    mp_os_fail_with = EAGAIN;
    start_once(c, &r);
    int left = mp_os_fail_after;
    mp_os_fail_after = -1;
    failures += r != 0;
    CHECK(r == 0 || r == -EAGAIN);
    CHECK_EQ(test_descriptors(), before);
    CHECK(c->children == NULL);
    arena_is_sound(c);
    if (left >= 0) break;
  }
  CHECK(failures > 0);
  mp_context_close(c);
}

TEST(every_call_of_start_can_fail) { every_call_of_start_fails(); }
TEST(every_call_of_start_can_fail_without_pidfds) {
  without("pidfd_open", every_call_of_start_fails);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Allocations until one fails; -1: none does. This malloc takes the place of the C library's. */
static _Thread_local int allocations_left = -1;
extern void *__libc_malloc(size_t);
void *malloc(size_t bytes) {
  if (allocations_left >= 0 && allocations_left-- == 0) {
    errno = ENOMEM;
    return NULL;
  }
  return __libc_malloc(bytes);
}

/* With more handles than a slot has room for, so that their copy needs memory, too. */
TEST(every_allocation_of_start_can_fail) {
  enum { HANDLES = 40 };
  mp_context *c = context();
  mp_lock *locks[HANDLES];
  int r = -ENOMEM, n;
  for (int i = 0; i < HANDLES; i++) CHECK_EQ(mp_lock_new(c, &locks[i]), 0);
  for (n = 0; r != 0; n++) {
    mp_process *p = NULL;
    allocations_left = n;
    r = mp_process_start(c, &plain, &p);
    allocations_left = -1;
    if (r == 0 && p == NULL) mp_process_exit(c, 9);
    CHECK(r == 0 || r == -ENOMEM);
    if (r == 0) CHECK_EQ(joined(p), 9);
    if (r == 0) mp_process_close(p);
    CHECK(c->children == NULL);
    arena_is_sound(c);
    for (int i = 0; i < HANDLES; i++) CHECK_EQ(w32_get(&locks[i]->object->holders), 1);
  }
  CHECK(n > 2);
  for (int i = 0; i < HANDLES; i++) mp_lock_close(locks[i]);
  mp_context_close(c);
}
#endif

TEST(no_shared_memory_is_an_error_that_changed_nothing) {
  enum { HANDLES = 40 };
  mp_context *c;
  struct mp_context_options o = {.memory = 4 << 20, .space = 128 << 20};
  mp_lock *locks[HANDLES];
  static struct mp_handle *more[20000];
  int n = 0;
  CHECK_EQ(mp_context_open(&o, &c), 0);
  for (int i = 0; i < HANDLES; i++) CHECK_EQ(mp_lock_new(c, &locks[i]), 0);
  /* objects as large as what a fork needs for the handles */
  while (n < 20000 && mp_object_new(c, MP_KIND_LOCK, 1000, &more[n]) == 0)
    mp_object_publish(more[n++], NULL, 0);
  CHECK(n < 20000);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), -ENOMEM);
  CHECK(c->children == NULL);
  CHECK_EQ(w32_get(&locks[0]->object->holders), 1);
  while (n > 0) mp_handle_close(more[--n]);
  p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  mp_process_close(p);
  arena_is_sound(c);
  for (int i = 0; i < HANDLES; i++) mp_lock_close(locks[i]);
  mp_context_close(c);
}

TEST(no_more_processes_is_an_error_that_changed_nothing) {
  mp_context *c = context();
  struct rlimit limit, none = {0, 0};
  CHECK_EQ(getrlimit(RLIMIT_NPROC, &limit), 0);
  if (geteuid() == 0) { /* the limit is not root's */
    CHECK_EQ(seteuid(65534), 0);
    CHECK_EQ(setreuid(65534, 65534), 0);
  }
  none.rlim_max = limit.rlim_max;
  CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
  mp_process *p;
  CHECK_EQ(mp_process_start(c, &plain, &p), -EAGAIN);
  CHECK(c->children == NULL);
  arena_is_sound(c);
  CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
  p = started(c, &plain, return_7);
  CHECK_EQ(joined(p), 7);
  mp_process_close(p);
  mp_context_close(c);
}

TEST(no_free_descriptor_delays_and_loses_nothing) {
  struct rlimit limit, few;
  int self;
  if (mp_os_pidfd(getpid(), &self) == -ENOSYS) return; /* a pipe in their place is a must */
  close(self);
  mp_context *c = context();
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  few = limit;
  few.rlim_cur = (rlim_t)dup(STDIN_FILENO);
  close((int)few.rlim_cur);
  mp_process *warm = started(c, &plain, return_7); /* so that it is known what the system has */
  CHECK_EQ(joined(warm), 7);
  mp_process_close(warm);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  mp_process *p = started(c, &plain, return_7);
  int fd;
  CHECK_EQ(mp_process_join(p, soon()), 0);
  CHECK_EQ(mp_process_sentinel(p, &fd), -EMFILE);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CHECK_EQ(joined(p), 7);
  CHECK_EQ(mp_process_sentinel(p, &fd), 0);
  mp_process_close(p);
  mp_context_close(c);
}

/* ---- many ---- */

TEST(a_hundred_at_once) {
  enum { N = 100 };
  mp_context *c = context();
  mp_process *p[N];
  for (int i = 0; i < N; i++) {
    CHECK_EQ(mp_process_start(c, &plain, &p[i]), 0);
    if (p[i] == NULL) mp_process_exit(c, i);
  }
  for (int i = N - 1; i >= 0; i--) CHECK_EQ(joined(p[i]), i);
  for (int i = 0; i < N; i++) mp_process_close(p[i]);
  arena_is_sound(c);
  CHECK(mp_heap_usage(c).allocated == 0);
  mp_context_close(c);
}

static int makes_another(mp_context *c) {
  static int depth;
  if (++depth == 8) return depth;
  mp_process *p = started(c, &plain, makes_another);
  int code = joined(p);
  mp_process_close(p);
  return code;
}

TEST(children_of_children) {
  mp_context *c = context();
  mp_process *p = started(c, &plain, makes_another);
  CHECK_EQ(joined(p), 8);
  mp_process_close(p);
  arena_is_sound(c);
  mp_context_close(c);
}
