/* Descriptors: made, waited for, counted out; and chance. */
#include "test.h"
#include "os_deny.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "../../src/core/clock.h"
#include "../../src/core/os.h"

static void close_both(int fds[2]) {
  mp_os_close(fds[0]);
  mp_os_close(fds[1]);
}

static int closes_on_exec(int fd) {
  int flags = fcntl(fd, F_GETFD);
  CHECK(flags >= 0);
  return (flags & FD_CLOEXEC) != 0;
}

static int is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

/* ---- made ---- */

TEST(every_descriptor_closes_on_exec) {
  int fds[16], n = 0;
  uint64_t name;
  CHECK_EQ(mp_os_memfd("test", 4096, &fds[n++]), 0);
  CHECK_EQ(mp_os_pipe(fds + n), 0), n += 2;
  CHECK_EQ(mp_os_socketpair(SOCK_STREAM, fds + n), 0), n += 2;
  CHECK_EQ(mp_os_socketpair(SOCK_SEQPACKET, fds + n), 0), n += 2;
  CHECK_EQ(mp_os_eventfd(&fds[n++]), 0);
  CHECK_EQ(mp_os_epoll(&fds[n++]), 0);
  CHECK_EQ(mp_os_timerfd(&fds[n++]), 0);
  CHECK_EQ(mp_os_bell_create(&fds[n++], &name), 0);
  CHECK_EQ(mp_os_bell_sender(&fds[n++]), 0);
  if (mp_os_pidfd(mp_os_pid(), &fds[n]) == 0) n++;
  while (n > 0) {
    CHECK(closes_on_exec(fds[--n]));
    CHECK_EQ(mp_os_close(fds[n]), -1);
  }
  CHECK_EQ(mp_os_close(-1), -1);
}

TEST(inheriting_is_switched) {
  int fds[2];
  CHECK_EQ(mp_os_pipe(fds), 0);
  CHECK_EQ(mp_os_inheritable(fds[0], 1), 0);
  CHECK(!closes_on_exec(fds[0]));
  CHECK_EQ(mp_os_inheritable(fds[0], 0), 0);
  CHECK(closes_on_exec(fds[0]));
  close_both(fds);
  CHECK_EQ(mp_os_inheritable(fds[0], 1), -EBADF);
}

TEST(bytes_pass_and_blocking_is_switched) {
  int fds[2];
  char byte = 0;
  CHECK_EQ(mp_os_pipe(fds), 0);
  CHECK_EQ(mp_os_nonblocking(fds[0], 1), 0);
  CHECK_EQ(mp_os_read(fds[0], &byte, 1), -EAGAIN);
  CHECK_EQ(mp_os_nonblocking(fds[0], 0), 0);
  CHECK_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
  CHECK_EQ(mp_os_write(fds[1], "x", 1), 1);
  CHECK_EQ(mp_os_read(fds[0], &byte, 1), 1);
  CHECK_EQ(byte, 'x');
  fds[1] = mp_os_close(fds[1]);
  CHECK_EQ(mp_os_read(fds[0], &byte, 1), 0);
  close_both(fds);
}

TEST(sending_to_nobody_raises_no_signal) {
  int fds[2];
  CHECK_EQ(mp_os_socketpair(SOCK_STREAM, fds), 0);
  CHECK_EQ(mp_os_send(fds[0], "x", 1), 1);
  fds[1] = mp_os_close(fds[1]);
  CHECK_EQ(mp_os_send(fds[0], "x", 1), -EPIPE);
  close_both(fds);
}

/* ---- waited for ---- */

static int readable(int fd) {
  struct pollfd p = { .fd = fd, .events = POLLIN };
  int r = mp_os_poll(&p, 1, MP_NOW);
  CHECK(r >= 0);
  return r;
}

TEST(a_poll_ends_at_its_deadline) {
  int fds[2];
  CHECK_EQ(mp_os_pipe(fds), 0);
  struct pollfd p = { .fd = fds[0], .events = POLLIN };
  double before = test_now();
  mp_deadline until = mp_in(0.05);
  CHECK_EQ(mp_os_poll(&p, 1, until), 0);
  CHECK(mp_clock_now() >= until);
  CHECK_TOOK(test_now() - before, 0.05);
  CHECK_EQ(mp_os_poll(&p, 1, MP_NOW), 0);
  CHECK_EQ(mp_os_poll(&p, 1, until), 0);   /* long past */
  CHECK_EQ(mp_os_write(fds[1], "x", 1), 1);
  CHECK_EQ(mp_os_poll(&p, 1, MP_FOREVER), 1);
  CHECK_EQ(p.revents, POLLIN);
  close_both(fds);
}

static void on_signal(int sig) {
  (void)sig;
}

static void signal_soon(int flags) {
  struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };
  CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    for (;;) {   /* again and again, as the parent may not be asleep yet */
      test_sleep(0.02);
      if (kill(parent, SIGUSR1) < 0) _exit(0);
    }
  }
  CHECK_EQ(mp_os_poll(NULL, 0, MP_FOREVER), -EINTR);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
}
TEST(a_signal_ends_a_poll) { signal_soon(0); }
TEST(a_signal_ends_a_poll_under_sa_restart) { signal_soon(SA_RESTART); }

TEST(an_event_is_posted_and_drained) {
  int fd;
  CHECK_EQ(mp_os_eventfd(&fd), 0);
  CHECK_EQ(readable(fd), 0);
  CHECK_EQ(mp_os_eventfd_drain(fd), 0);   /* nothing there is no failure */
  CHECK_EQ(mp_os_eventfd_post(fd), 0);
  CHECK_EQ(mp_os_eventfd_post(fd), 0);
  CHECK_EQ(readable(fd), 1);
  CHECK_EQ(mp_os_eventfd_drain(fd), 0);
  CHECK_EQ(readable(fd), 0);
  const uint64_t most = UINT64_MAX - 1;
  CHECK_EQ(write(fd, &most, 8), 8);
  CHECK_EQ(mp_os_eventfd_post(fd), 0);    /* full is posted */
  mp_os_close(fd);
}

TEST(a_timer_repeats_until_stopped) {
  int fd;
  double before = test_now();
  CHECK_EQ(mp_os_timerfd(&fd), 0);
  CHECK_EQ(mp_os_timer_every(fd, 20000000), 0);
  struct pollfd p = { .fd = fd, .events = POLLIN };
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(mp_os_poll(&p, 1, mp_in(5)), 1);
    CHECK_EQ(mp_os_timer_drain(fd), 0);
  }
  CHECK_TOOK(test_now() - before, 0.04);
  CHECK_EQ(mp_os_timer_every(fd, 0), 0);
  CHECK_EQ(mp_os_timer_drain(fd), 0);
  CHECK_EQ(mp_os_poll(&p, 1, mp_in(0.05)), 0);
  mp_os_close(fd);
}

/* ---- counted out ---- */

static int first;   /* above all that was open already */

/* Opens first .. first + n - 1, none of them close-on-exec. */
static void open_some(int n) {
  for (first = 900 - n; first > 3 && !is_open(first - 1);) first--;
  for (int i = 0; i < n; i++) CHECK_EQ(dup2(0, first + i), first + i);
}

static void closing_spares_the_kept(void) {
  open_some(10);
  const int keep[] = { 0, 1, 2, first, first + 3, first + 4, first + 20 };
  CHECK_EQ(mp_os_close_but(first, keep, 7), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(is_open(first + i), i == 0 || i == 3 || i == 4);
  CHECK(is_open(2));
  CHECK_EQ(mp_os_close_but(first, NULL, 0), 0);
  for (int i = 0; i < 10; i++) CHECK(!is_open(first + i));
}

static void from_there_on_all_close_on_exec(void) {
  open_some(10);
  CHECK_EQ(mp_os_cloexec_from(first + 2), 0);
  for (int i = 0; i < 10; i++) CHECK_EQ(closes_on_exec(first + i), i >= 2);
  CHECK_EQ(mp_os_close_but(first, NULL, 0), 0);
}

TEST(all_but_some_are_closed) { closing_spares_the_kept(); }
TEST(all_but_some_without_close_range) { without("close_range", closing_spares_the_kept); }
TEST(all_but_some_without_proc) { without("proc,close_range", closing_spares_the_kept); }
TEST(all_become_close_on_exec) { from_there_on_all_close_on_exec(); }
TEST(close_on_exec_without_close_range) {
  without("close_range_cloexec", from_there_on_all_close_on_exec);
}
TEST(close_on_exec_without_proc) {
  without("proc,close_range_cloexec", from_there_on_all_close_on_exec);
}

TEST(many_descriptors_are_walked) {   /* more than one read of /proc/self/fd */
  mp_os_deny("close_range");
  open_some(500);
  CHECK_EQ(mp_os_close_but(first, NULL, 0), 0);
  for (int i = 0; i < 500; i++) CHECK(!is_open(first + i));
}

/* ---- chance ---- */

static void all_bytes_are_filled(void) {
  unsigned char bytes[300], either[300] = { 0 };
  for (int i = 0; i < 8; i++) {   /* a byte stays 0 all eight times with chance 2^-64 */
    CHECK_EQ(mp_os_random(bytes, sizeof bytes), 0);
    for (size_t j = 0; j < sizeof bytes; j++) either[j] |= bytes[j];
  }
  for (size_t j = 0; j < sizeof either; j++) CHECK(either[j] != 0);
  CHECK_EQ(mp_os_random(bytes, 0), 0);
}
TEST(chance_fills_all_bytes) { all_bytes_are_filled(); }
TEST(chance_without_getrandom) { without("getrandom", all_bytes_are_filled); }

TEST(chance_comes_from_the_device_then) {   /* the fallback is taken, not only survived */
  char byte;
  mp_os_deny("getrandom");
  mp_os_fail_with = ENOENT;
  mp_os_fail_after = 0;
  CHECK_EQ(mp_os_random(&byte, 1), -ENOENT);
}
