/* Every system call of every function fails once: the result is that failure or, where the contract
** says so, none; nothing is left open or mapped; what was to be given back is not touched.
*/
#include "test.h"

#include <poll.h>
#include <sys/socket.h>

#include "../../src/core/clock.h"
#include "../../src/core/os.h"
#include "../../src/core/os_call.h"

#define UNTOUCHED 12345

/* Each does its work, undoes it, and returns its function's result; out parameters of a failed
** call are checked here. */
typedef int scenario(void);

/* Closes what a success has made. */
static int done(int r, int fd) {
  CHECK(r == 0 ? fd >= 0 && fd != UNTOUCHED : fd == UNTOUCHED);
  if (r == 0) mp_os_close(fd);
  return r;
}

static int a_memfd(void) {
  int fd = UNTOUCHED, r = mp_os_memfd("test", 65536, &fd);
  return done(r, fd);
}

static int an_eventfd(void) {
  int fd = UNTOUCHED, r = mp_os_eventfd(&fd);
  return done(r, fd);
}

static int an_epoll(void) {
  int fd = UNTOUCHED, r = mp_os_epoll(&fd);
  return done(r, fd);
}

static int a_timerfd(void) {
  int fd = UNTOUCHED, r = mp_os_timerfd(&fd);
  return done(r, fd);
}

static int child_news(void) {
  int fd = UNTOUCHED, r = mp_os_child_news(&fd);
  CHECK(r == 0 || fd == UNTOUCHED);
  if (r == 0) mp_os_child_news_close(fd);
  return r;
}

static int a_sender(void) {
  int fd = UNTOUCHED, r = mp_os_bell_sender(&fd);
  return done(r, fd);
}

static int a_bell(void) {
  int fd = UNTOUCHED;
  uint64_t name = UNTOUCHED;
  int r = mp_os_bell_create(&fd, &name);
  CHECK(r == 0 || name == UNTOUCHED);
  return done(r, fd);
}

static int a_pidfd(void) {
  int fd = UNTOUCHED, r = mp_os_pidfd(mp_os_pid(), &fd);
  if (r == -ENOSYS) return fd == UNTOUCHED ? 0 : r;   /* this kernel has none */
  return done(r, fd);
}

static int a_pair(int r, const int fds[2]) {
  CHECK(r == 0 || (fds[0] == UNTOUCHED && fds[1] == UNTOUCHED));
  if (r == 0) mp_os_close(fds[0]), mp_os_close(fds[1]);
  return r;
}

static int a_pipe(void) {
  int fds[2] = { UNTOUCHED, UNTOUCHED };
  int r = mp_os_pipe(fds);
  return a_pair(r, fds);
}

static int a_socketpair(void) {
  int fds[2] = { UNTOUCHED, UNTOUCHED };
  int r = mp_os_socketpair(SOCK_STREAM, fds);
  return a_pair(r, fds);
}

static int a_wipe_page(void) {
  void *page = NULL;
  int r = mp_os_wipe_page_map(&page);
  CHECK((r == 0) == (page != NULL));
  mp_os_wipe_page_unmap(page);
  return r;
}

static int a_random(void) {
  char bytes[16];
  return mp_os_random(bytes, sizeof bytes);
}

static int a_ram(void) {
  uint64_t bytes = UNTOUCHED;
  int r = mp_os_ram(&bytes);
  CHECK((r < 0) == (bytes == UNTOUCHED));
  return r;
}

static int a_start(void) {
  uint64_t start = UNTOUCHED;
  int r = mp_os_self_start(&start);
  CHECK(r == 0 || start == UNTOUCHED);
  return r;
}

/* Of a living process; whatever fails, it is not gone. */
static int a_death(void) {
  return mp_os_process_gone(mp_os_pid(), 0);
}

static int a_cpu(void) {
  return mp_os_cpu_allowed() >= 1 ? 0 : -1;
}

static int a_cleared_table(void) {
  return mp_os_close_but(1000, NULL, 0);
}

static int a_flagged_table(void) {
  return mp_os_cloexec_from(1000);
}

/* ---- on an open file ---- */

static int open_file;

static int a_map(void) {
  void *base = NULL;
  int r = mp_os_map(open_file, 65536, &base);
  CHECK((r == 0) == (base != NULL));
  mp_os_unmap(base, 65536);
  return r;
}

static int a_commit(void) {
  return mp_os_commit(open_file, 0, 65536);
}

static int a_punch(void) {
  return mp_os_punch(open_file, 0, 65536);
}

static int a_nonblocking(void) {
  return mp_os_nonblocking(open_file, 1);
}

static int an_inheritable(void) {
  return mp_os_inheritable(open_file, 0);
}

/* ---- the loop ---- */

static int mappings(void) {
  FILE *f = fopen("/proc/self/maps", "r");
  int n = 0;
  CHECK(f != NULL);
  for (int c; (c = getc(f)) != EOF;) n += c == '\n';
  fclose(f);
  return n;
}

/* Runs the scenario with its n-th call failing, for each n that it has; the number of failures
** that came through. Those that did not are the benign ones, and the loop's end is the run that
** leaves the counter unspent. */
static int fail_each_call(scenario *s, int error) {
  int failures = 0;
  for (int n = 0;; n++) {
    int descriptors = test_descriptors(), maps = mappings();
    mp_os_fail_with = error;
    mp_os_fail_after = n;
    int r = s();
    int unspent = mp_os_fail_after >= 0;
    mp_os_fail_after = -1;
    CHECK(r == 0 || r == -error);
    CHECK_EQ(test_descriptors(), descriptors);
    CHECK_EQ(mappings(), maps);
    if (unspent) {
      CHECK_EQ(r, 0);
      return failures;
    }
    CHECK(n < 100);
    failures += r != 0;
  }
}

static void warm_up(scenario *s) {   /* the C library opens and maps things once */
  (void)mappings();
  (void)test_descriptors();
  CHECK_EQ(s(), 0);
}

static const struct expectation {
  scenario *run;
  int failures;   /* with an errno that has no meaning of its own */
} expected[] = {
    {a_memfd, 4},     {an_eventfd, 1},      {an_epoll, 1},        {a_timerfd, 1}, {child_news, 1},
    {a_sender, 1},    {a_bell, 3},          {a_pidfd, 1},         {a_pipe, 1},    {a_socketpair, 1},
    {a_wipe_page, 2}, {a_random, 1},        {a_ram, 1},           {a_start, 2},   {a_death, 0},
    {a_cpu, 0},       {a_cleared_table, 1}, {a_flagged_table, 1}, {a_map, 1},     {a_commit, 1},
    {a_punch, 1},     {a_nonblocking, 2},   {an_inheritable, 2},
};

static void open_the_file(void) {
  mp_os_deny("");
  CHECK_EQ(mp_os_memfd("test", 65536, &open_file), 0);
}

TEST(each_failure_comes_through_and_leaves_nothing) {
  open_the_file();
  for (size_t i = 0; i < MP_COUNT_OF(expected); i++) {
    warm_up(expected[i].run);
    int failures = fail_each_call(expected[i].run, EMFILE);
    if (failures != expected[i].failures)
      test_fail(__FILE__, __LINE__, "scenario %zu failed %d times, not %d", i, failures,
                expected[i].failures);
  }
  mp_os_close(open_file);
}

/* The calls that a signal can cut short are repeated, so that no failure comes through. */
TEST(an_interruption_is_repeated) {
  static scenario *const all[] = { a_commit, a_punch, a_random };
  open_the_file();
  for (size_t i = 0; i < MP_COUNT_OF(all); i++) {
    warm_up(all[i]);
    CHECK_EQ(fail_each_call(all[i], EINTR), 0);
  }
  mp_os_close(open_file);
}

/* With every younger call absent the fallbacks' own calls fail in turn. */
TEST(each_failure_of_the_fallbacks_leaves_nothing) {
  open_the_file();
  mp_os_deny("memfd_noexec,seal,dontdump,populate,wipe_on_fork,getrandom,close_range,"
             "close_range_cloexec");
  static scenario *const all[] = { a_memfd, a_map, a_wipe_page, a_random, a_cleared_table,
                                   a_flagged_table };
  for (size_t i = 0; i < MP_COUNT_OF(all); i++) {
    warm_up(all[i]);
    (void)fail_each_call(all[i], EMFILE);
  }
  mp_os_close(open_file);
}

/* ---- the sleeping calls ---- */

static int a_poll(void) {
  return mp_os_poll(NULL, 0, mp_in(0.001));
}

static int a_futex_wait(void) {
  uint32_t word = 1;
  int r = mp_os_futex_wait(&word, 1, mp_in(0.001));
  return r == MP_TIMEOUT ? 0 : r;
}

TEST(sleepers_pass_an_interruption_on) {
  warm_up(a_poll);
  warm_up(a_futex_wait);
  CHECK_EQ(fail_each_call(a_poll, EINTR), 1);
  CHECK_EQ(fail_each_call(a_futex_wait, EINTR), 1);
}

/* ---- the denials themselves ---- */

TEST(the_environment_denies) {
  int fd = -1;
  setenv("MP_DENY", "populate,pidfd_open=EPERM", 1);
  mp_os_deny(NULL);
  CHECK_EQ(mp_os_denied(mp_os_call_pidfd_open), 1);
  CHECK_EQ(errno, EPERM);
  CHECK_EQ(mp_os_denied(mp_os_call_populate), 1);
  CHECK_EQ(errno, ENOSYS);
  CHECK_EQ(mp_os_denied(mp_os_call_punch), 0);
  CHECK_EQ(mp_os_pidfd(mp_os_pid(), &fd), -ENOSYS);
}

MUST_FAIL(a_denial_of_nothing_is_no_test, TEST_LIMIT, "crashed: Aborted") {
  mp_os_deny("pidfd_opne");
}
