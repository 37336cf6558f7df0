/* Who lives, who has ended, who is told. */
#include "test.h"
#include "os_deny.h"

#include <pthread.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <wchar.h>

#include "../../src/core/clock.h"
#include "../../src/core/os.h"

static pid_t child_that(void (*body)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(7);
  }
  CHECK(pid > 0);
  return pid;
}

static void wait_for_ever(void) {
  for (;;) pause();
}

static void end_at_once(void) {}

static void reap(pid_t pid) {
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void kill_and_reap(pid_t pid) {
  CHECK_EQ(kill(pid, SIGKILL), 0);
  reap(pid);
}

/* Leaves the child unreaped, a zombie. */
static void wait_until_dead(pid_t pid) {
  siginfo_t info;
  CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

/* What the kernel itself says, apart from os.h. */
static int kernel_has_pidfds(void) {
  int fd = (int)syscall(434, getpid(), 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/* ---- names ---- */

TEST(a_process_knows_itself_and_its_parent) {
  CHECK_EQ(mp_os_pid(), getpid());
  CHECK_EQ(mp_os_tid(), getpid());
  CHECK_EQ(mp_os_parent_pid(), getppid());
}

TEST(a_start_time_names_a_process) {
  mp_os_deny("");
  uint64_t own = 0, other = 0;
  CHECK_EQ(mp_os_self_start(&own), 0);
  CHECK(own > 0);
  CHECK_EQ(mp_os_start_of(getpid(), &other), 0);
  CHECK_EQ(own, other);
  test_sleep(0.03);   /* more than a tick */
  pid_t pid = child_that(wait_for_ever);
  CHECK_EQ(mp_os_start_of(pid, &other), 0);
  CHECK(other > own);
  kill_and_reap(pid);
  CHECK_EQ(mp_os_start_of(pid, &other), -ESRCH);
  CHECK_EQ(mp_os_start_of(0, &other), -ESRCH);
}

TEST(a_name_with_spaces_and_parentheses_changes_nothing) {
  mp_os_deny("");
  static const char *const names[] = { "a b", ") Z 1 2", "((", "))) R ))", "1 (2) 3", "" };
  uint64_t before, now;
  CHECK_EQ(mp_os_self_start(&before), 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CHECK_EQ(prctl(PR_SET_NAME, names[i]), 0);
    CHECK_EQ(mp_os_self_start(&now), 0);
    CHECK_EQ(now, before);
    CHECK_EQ(mp_os_process_gone(getpid(), before), 0);
  }
}

TEST(without_proc_the_start_is_unknown) {
  uint64_t start = 1, id = 1;
  mp_os_deny("proc");
  CHECK_EQ(mp_os_self_start(&start), -ENOSYS);
  CHECK_EQ(start, 1);
  CHECK_EQ(mp_os_pidns(&id), 0);
  CHECK_EQ(id, 0);
}

TEST(processes_of_one_namespace_agree_on_it) {
  mp_os_deny("");
  uint64_t id = 0;
  struct stat s;
  CHECK_EQ(mp_os_pidns(&id), 0);
  CHECK_EQ(stat("/proc/self/ns/pid", &s), 0);
  CHECK_EQ(id, s.st_ino);
}

/* ---- who has ended ---- */

static void the_living_are_not_gone(void) {
  pid_t pid = child_that(wait_for_ever);
  uint64_t start;
  CHECK_EQ(mp_os_start_of(pid, &start), 0);
  CHECK_EQ(mp_os_process_gone(pid, start), 0);
  CHECK_EQ(mp_os_process_gone(pid, 0), 0);
  CHECK_EQ(mp_os_process_gone(getpid(), 0), 0);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
  CHECK_EQ(mp_os_process_gone(pid, start), 0);   /* stopped is not dead */
  CHECK_EQ(mp_os_process_gone(pid, start + 1), 1);   /* its pid went to another */
  kill_and_reap(pid);
}

/* A parent is never left waiting for what its own dead child held. */
TEST(a_parent_knows_its_zombies_without_pidfds_and_proc) {
  pid_t pid = child_that(wait_for_ever);
  mp_os_deny("pidfd_open,proc");
  CHECK_EQ(mp_os_process_gone(pid, 0), 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  wait_until_dead(pid);
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
  reap(pid);
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
}

static void the_dead_are_gone(void) {
  pid_t pid = child_that(wait_for_ever);
  uint64_t start;
  CHECK_EQ(mp_os_start_of(pid, &start), 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  wait_until_dead(pid);
  CHECK_EQ(mp_os_process_gone(pid, start), 1);   /* a zombie */
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
  reap(pid);
  CHECK_EQ(mp_os_process_gone(pid, start), 1);
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
  CHECK_EQ(mp_os_process_gone(0, 0), 1);
}

static void *outlive(void *seconds) {
  test_sleep(*(double *)seconds);
  _exit(0);
}

static void end_but_for_a_thread(void) {
  static double long_time = 1000;
  pthread_t t;
  CHECK_EQ(pthread_create(&t, NULL, outlive, &long_time), 0);
  pthread_exit(NULL);
}

static int leader_is_zombie(void *pid) {
  char path[40], text[300] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)*(pid_t *)pid);
  FILE *f = fopen(path, "r");
  CHECK(f != NULL && fgets(text, sizeof text, f) != NULL);
  fclose(f);
  return strrchr(text, ')')[2] == 'Z';
}

static void a_process_lives_while_a_thread_does(void) {
  pid_t pid = child_that(end_but_for_a_thread);
  CHECK(test_eventually(leader_is_zombie, &pid));
  CHECK_EQ(mp_os_process_gone(pid, 0), 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  wait_until_dead(pid);
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
  reap(pid);
}

TEST(the_living) {
  mp_os_deny("");
  the_living_are_not_gone();
}
TEST(the_dead) {
  mp_os_deny("");
  the_dead_are_gone();
}
TEST(the_last_thread_decides) {
  mp_os_deny("");
  a_process_lives_while_a_thread_does();
}
TEST(the_living_without_pidfds) { without("pidfd_open", the_living_are_not_gone); }
TEST(the_dead_without_pidfds) { without("pidfd_open", the_dead_are_gone); }
TEST(the_last_thread_decides_without_pidfds) {
  without("pidfd_open", a_process_lives_while_a_thread_does);
}

TEST(with_no_free_descriptor_death_is_still_seen) {
  mp_os_deny("");
  pid_t pid = child_that(end_at_once);
  wait_until_dead(pid);
  mp_os_fail_with = EMFILE;
  mp_os_fail_after = 0;
  CHECK_EQ(mp_os_process_gone(pid, 0), 1);
  CHECK_EQ(mp_os_fail_after, -1);
  reap(pid);
}

TEST(a_doubt_is_settled_for_the_living) {
  mp_os_deny("pidfd_open,proc");
  CHECK_EQ(mp_os_process_gone(getpid(), 1), 0);
  CHECK_EQ(mp_os_process_gone(0x3fffffff, 1), 1);   /* no such pid: no doubt */
}

/* The number of a thread, which pidfd_open refuses as it does when absent. */
static void *tid_of(void *tid) {
  __atomic_store_n((int32_t *)tid, mp_os_tid(), __ATOMIC_SEQ_CST);
  for (;;) pause();
  return NULL;
}

static int is_set(void *tid) {
  return __atomic_load_n((int32_t *)tid, __ATOMIC_SEQ_CST) != 0;
}

TEST(a_threads_number_is_no_process) {
  static int32_t tid;
  pthread_t t;
  int fd = -1;
  mp_os_deny("");
  if (!kernel_has_pidfds()) return;   /* then nothing can tell them apart without a start time */
  CHECK_EQ(pthread_create(&t, NULL, tid_of, &tid), 0);
  CHECK(test_eventually(is_set, &tid));
  CHECK_EQ(mp_os_pidfd(tid, &fd), -ESRCH);
  CHECK_EQ(fd, -1);
  CHECK_EQ(mp_os_process_gone(tid, 0), 1);
  pthread_cancel(t);
  pthread_join(t, NULL);
}

TEST(an_older_kernels_word_for_a_thread) {   /* EINVAL, where pidfds are not absent */
  int fd = -1;
  mp_os_deny("");
  if (!kernel_has_pidfds()) return;
  mp_os_fail_with = EINVAL;
  mp_os_fail_after = 0;
  CHECK_EQ(mp_os_pidfd(getpid(), &fd), -ESRCH);
  CHECK_EQ(mp_os_fail_after, -1);
}

/* ---- descriptors of processes ---- */

TEST(a_pidfd_is_readable_after_the_end) {
  mp_os_deny("");
  if (!kernel_has_pidfds()) return;
  pid_t pid = child_that(wait_for_ever);
  struct pollfd p = { .events = POLLIN };
  CHECK_EQ(mp_os_pidfd(pid, &p.fd), 0);
  CHECK_EQ(mp_os_poll(&p, 1, MP_NOW), 0);
  CHECK_EQ(mp_os_signal_process(pid, p.fd, SIGKILL), 0);
  CHECK_EQ(mp_os_poll(&p, 1, mp_in(5)), 1);
  reap(pid);
  int fd = -1;
  CHECK_EQ(mp_os_pidfd(pid, &fd), -ESRCH);
  CHECK_EQ(mp_os_pidfd(0, &fd), -ESRCH);
  mp_os_close(p.fd);
}

static void pidfds_are_absent(void) {
  int fd = -1;
  CHECK_EQ(mp_os_pidfd(getpid(), &fd), -ENOSYS);
  CHECK_EQ(fd, -1);
}
TEST(an_absent_pidfd_has_one_name) { without("pidfd_open", pidfds_are_absent); }

/* A child and a pidfd for it, -1 where the kernel has none. */
static int pidfd_of(pid_t pid) {
  int fd = -1;
  CHECK_EQ(mp_os_pidfd(pid, &fd), kernel_has_pidfds() ? 0 : -ENOSYS);
  return fd;
}

static void a_signal_arrives(void) {
  pid_t pid = child_that(wait_for_ever);
  int fd = pidfd_of(pid), status = 0;
  CHECK_EQ(mp_os_signal_process(pid, fd, 0), 0);
  CHECK_EQ(mp_os_signal_process(pid, fd, SIGTERM), 0);
  CHECK_EQ(mp_os_wait_child(pid, fd, 0, &status), 0);
  CHECK_EQ(status, -SIGTERM);
  CHECK_EQ(mp_os_signal_process(pid, fd, SIGTERM), -ESRCH);
  mp_os_close(fd);
}
TEST(a_signal_reaches_its_process) {
  mp_os_deny("");
  a_signal_arrives();
}
TEST(a_signal_without_pidfds) { without("pidfd_signal", a_signal_arrives); }

TEST(nobody_signals_a_group_by_mistake) {
  CHECK_EQ(mp_os_signal_process(0, -1, SIGKILL), -EINVAL);
  CHECK_EQ(mp_os_signal_process(-1, -1, SIGKILL), -EINVAL);
  CHECK_EQ(mp_os_signal_process(-getpid(), -1, SIGKILL), -EINVAL);
}

/* ---- waiting ---- */

static void only_that_child_is_reaped(void) {
  int status = 0;
  pid_t first = child_that(end_at_once), second = child_that(end_at_once);
  int fd = pidfd_of(second);
  wait_until_dead(first);
  CHECK_EQ(mp_os_wait_child(second, fd, 0, &status), 0);
  CHECK_EQ(status, 7);
  CHECK_EQ(mp_os_wait_child(second, fd, 0, &status), -ECHILD);
  CHECK_EQ(mp_os_wait_child(first, -1, 1, &status), 0);   /* was left for its own waiter */
  mp_os_close(fd);
}

static void nohang_says_that_it_runs(void) {
  int status = 99;
  pid_t pid = child_that(wait_for_ever);
  int fd = pidfd_of(pid);
  CHECK_EQ(mp_os_wait_child(pid, fd, 1, &status), MP_TIMEOUT);
  CHECK_EQ(status, 99);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
  CHECK_EQ(mp_os_wait_child(pid, fd, 1, &status), MP_TIMEOUT);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(mp_os_wait_child(pid, fd, 0, &status), 0);
  CHECK_EQ(status, -SIGKILL);
  mp_os_close(fd);
}

TEST(waiting_reaps_one_child) {
  mp_os_deny("");
  only_that_child_is_reaped();
}
TEST(waiting_without_pidfds) { without("pidfd_wait", only_that_child_is_reaped); }
TEST(nohang_asks) {
  mp_os_deny("");
  nohang_says_that_it_runs();
}
TEST(nohang_without_pidfds) { without("pidfd_wait", nohang_says_that_it_runs); }

TEST(a_host_may_reap_first) {
  int status = 99;
  pid_t pid = child_that(end_at_once);
  reap(pid);
  CHECK_EQ(mp_os_wait_child(pid, -1, 0, &status), -ECHILD);
  CHECK_EQ(mp_os_wait_child(getppid(), -1, 0, &status), -ECHILD);
  CHECK_EQ(mp_os_wait_child(0, -1, 1, &status), -ECHILD);    /* 0 and -1 mean any to the kernel */
  CHECK_EQ(mp_os_wait_child(-1, -1, 1, &status), -ECHILD);
  signal(SIGCHLD, SIG_IGN);
  pid = child_that(end_at_once);
  CHECK_EQ(mp_os_wait_child(pid, -1, 0, &status), -ECHILD);
  CHECK_EQ(status, 99);
}

static volatile sig_atomic_t signals;

static void count_signal(int sig) {
  (void)sig;
  signals++;
}

static void end_after_a_while(void) {
  test_sleep(0.1);
}

TEST(signals_do_not_end_a_wait_for_a_child) {
  struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { { 0, 0 }, { 0, 0 } };
  struct sigaction act = { .sa_handler = count_signal };
  int status = 0;
  pid_t pid = child_that(end_after_a_while);
  CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
  CHECK_EQ(mp_os_wait_child(pid, -1, 0, &status), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
  CHECK_EQ(status, 7);
  CHECK(signals > 0);
}

/* ---- the parent's end ---- */

static int pipe_ends[2];

static void die_with_parent(void) {
  char byte = 1;
  CHECK_EQ(mp_os_parent_death_signal(SIGKILL), 0);
  CHECK_EQ(write(pipe_ends[1], &byte, 1), 1);
  wait_for_ever();
}

static void parent(void) {
  char byte;
  child_that(die_with_parent);
  CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);   /* it has asked for the signal */
}

TEST(a_child_can_end_with_its_parent) {
  char byte;
  CHECK_EQ(mp_os_pipe(pipe_ends), 0);
  reap(child_that(parent));
  mp_os_close(pipe_ends[1]);
  CHECK_EQ(mp_os_read(pipe_ends[0], &byte, 1), 0);   /* the last writer is dead */
  mp_os_close(pipe_ends[0]);
}

TEST(a_zombie_says_how_it_ended) {
  int status = 99;
  pid_t exits = fork();
  if (exits == 0) _exit(7);
  pid_t killed = fork();
  if (killed == 0) for (;;) pause();
  CHECK_EQ(mp_os_zombie_status(killed, 0, &status), -ESRCH); /* it runs */
  CHECK_EQ(status, 99);
  CHECK_EQ(kill(killed, SIGKILL), 0);
  siginfo_t info;
  CHECK_EQ(waitid(P_PID, (id_t)exits, &info, WEXITED | WNOWAIT), 0);
  CHECK_EQ(waitid(P_PID, (id_t)killed, &info, WEXITED | WNOWAIT), 0);
  CHECK_EQ(mp_os_zombie_status(exits, 0, &status), 0);
  CHECK_EQ(status, 7);
  CHECK_EQ(mp_os_zombie_status(exits, 1, &status), -ESRCH); /* another start time */
  CHECK_EQ(mp_os_zombie_status(killed, 0, &status), 0);
  CHECK_EQ(status, -SIGKILL);
  CHECK_EQ(waitpid(exits, NULL, 0), exits);
  CHECK_EQ(waitpid(killed, NULL, 0), killed);
  CHECK_EQ(mp_os_zombie_status(exits, 0, &status), -ESRCH);
}

/* ---- buffered output ---- */

static size_t written(FILE *f) {
  struct stat s;
  CHECK_EQ(fstat(fileno(f), &s), 0);
  return (size_t)s.st_size;
}

static void flush_writes_what_waits(void) {
  FILE *narrow = tmpfile(), *wide = tmpfile();
  CHECK(narrow != NULL && wide != NULL);
  CHECK(fputs("text", narrow) >= 0);
  mp_os_flush();
  CHECK_EQ(written(narrow), 4);
  mp_os_flush();
  CHECK_EQ(written(narrow), 4);
  CHECK(fputws(L"wide", wide) >= 0);
  mp_os_flush();
  CHECK_EQ(written(wide), 4);
  fclose(narrow);
  fclose(wide);
}

TEST(what_waits_in_any_stream_is_written) { flush_writes_what_waits(); }

static void *rest(void *arg) {
  (void)arg;
  test_sleep(600);
  return NULL;
}

TEST(what_waits_is_written_beside_other_threads) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, rest, NULL), 0);
  CHECK_EQ(pthread_detach(thread), 0);
  flush_writes_what_waits();
}

/* ---- stopped children ---- */

static int news_of_children(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, (int)(1000 * TOLERANCE));
}

TEST(a_parent_hears_when_its_child_is_stopped) {
  int news;
  CHECK_EQ(mp_os_child_news(&news), 0);
  pid_t pid = child_that(wait_for_ever);
  CHECK_EQ(mp_os_child_stopped(pid), 0);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  CHECK_EQ(news_of_children(news), 1);
  CHECK_EQ(mp_os_child_news_drain(news), 0);
  CHECK_EQ(mp_os_child_stopped(pid), 1);
  CHECK_EQ(mp_os_child_stopped(pid), 1); /* to ask takes nothing away */
  CHECK_EQ(kill(pid, SIGCONT), 0);
  CHECK_EQ(news_of_children(news), 1);
  CHECK_EQ(mp_os_child_news_drain(news), 0);
  CHECK_EQ(mp_os_child_news_drain(news), 0); /* nothing there is no failure */
  CHECK_EQ(mp_os_child_stopped(pid), 0);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  kill_and_reap(pid);
  CHECK_EQ(mp_os_child_stopped(pid), 0);
  CHECK_EQ(mp_os_child_stopped(getppid()), 0); /* not a child of ours */
  CHECK_EQ(mp_os_child_stopped(0), 0);
  sigset_t now;
  CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
  CHECK_EQ(sigismember(&now, SIGCHLD), 1);
  CHECK_EQ(mp_os_child_news_close(news), -1);
  CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
  CHECK_EQ(sigismember(&now, SIGCHLD), 0);
  CHECK_EQ(mp_os_child_news_close(-1), -1);
}
