/* os_linux_fd.c -- the Linux half of os.h: descriptors made, counted out, and chance.
**
** Every descriptor here is close-on-exec in the call that makes it, so that no fork and exec of
** another thread can slip between, and none is 0, 1 or 2: in a program that has closed its standard
** streams, what it prints would go there, and a child's new standard input would take its place.
** mp_os_close_but and mp_os_cloexec_from run in a child between fork and exec, where other threads'
** locks may be held for ever: they use the stack and system calls only. Nothing is shared or
** locked, and the kernel closes what a dead process held.
*/
#include "os.h"
#include "os_call.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Younger than some of the C libraries that we build with; the same on all architectures. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* ---- made ---- */

static int made(int descriptor, int *fd) {
  int raised = descriptor < 0 ? -errno : mp_os_raise_above_stdio(descriptor);
  if (raised < 0) return raised;
  *fd = raised;
  return 0;
}

static int pair_made(const int pair[2], int fds[2]) {
  int first = mp_os_raise_above_stdio(pair[0]), second = mp_os_raise_above_stdio(pair[1]);
  if (first < 0 || second < 0) {
    mp_os_close(first);
    mp_os_close(second);
    return first < 0 ? first : second;
  }
  fds[0] = first;
  fds[1] = second;
  return 0;
}

int mp_os_pipe(int fds[2]) {
  int pair[2];
  return MP_CALL(pipe2(pair, O_CLOEXEC)) < 0 ? -errno : pair_made(pair, fds);
}

int mp_os_socketpair(int type, int fds[2]) {
  int pair[2];
  int r = MP_CALL(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
  return r < 0 ? -errno : pair_made(pair, fds);
}

int mp_os_eventfd(int *fd) {
  return made(MP_CALL(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), fd);
}

int mp_os_epoll(int *fd) {
  return made(MP_CALL(epoll_create1(EPOLL_CLOEXEC)), fd);
}

int mp_os_timerfd(int *fd) {
  return made(MP_CALL(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)), fd);
}

/* ---- used ---- */

/* A counter that is full is as readable as one that is not. */
int mp_os_eventfd_post(int fd) {
  const uint64_t one = 1;
  ptrdiff_t r = mp_os_write(fd, &one, sizeof one);
  return r == -EAGAIN || r > 0 ? 0 : (int)r;
}

/* Reads the eight bytes of an eventfd or timerfd; to find nothing there is no failure. */
static int counter_drain(int fd) {
  uint64_t count;
  ptrdiff_t r = mp_os_read(fd, &count, sizeof count);
  return r == -EAGAIN || r > 0 ? 0 : (int)r;
}

int mp_os_eventfd_drain(int fd) {
  return counter_drain(fd);
}

int mp_os_timer_drain(int fd) {
  return counter_drain(fd);
}

int mp_os_timer_every(int fd, int64_t ns) {
  struct timespec period = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
  struct itimerspec t = { .it_interval = period, .it_value = period };
  return MP_CALL(timerfd_settime(fd, 0, &t, NULL)) < 0 ? -errno : 0;
}

int mp_os_epoll_add(int epoll, int fd) {
  struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
  return MP_CALL(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) < 0 ? -errno : 0;
}

int mp_os_epoll_remove(int epoll, int fd) {
  return MP_CALL(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)) < 0 ? -errno : 0;
}

/* ---- counted out ---- */

/* What the walks below do to one descriptor. */
typedef void descriptor_action(int fd);

static void close_one(int fd) {
  (void)close(fd);
}

static void cloexec_one(int fd) {
  (void)mp_os_inheritable(fd, 0);
}

/* The kernel's record of a directory entry. */
struct entry {
  uint64_t inode;
  int64_t next;
  unsigned short length;
  unsigned char type;
  char name[];
};

static int number_of(const char *name) {
  int n = 0;
  if (*name < '0' || *name > '9') return -1;
  while (*name >= '0' && *name <= '9') n = n * 10 + (*name++ - '0');
  return n;
}

/* The descriptors of one buffer of entries, all but the walk's own. */
static void walk_entries(const char *buffer, long n, int own, const int range[2],
                         descriptor_action *act) {
  const struct entry *e;
  for (long at = 0; at < n; at += e->length) {
    e = (const struct entry *)(const void *)(buffer + at);
    int fd = number_of(e->name);
    if (fd >= range[0] && fd <= range[1] && fd != own) act(fd);
  }
}

/* Closing while reading is harmless: a position in this directory is a descriptor's number. */
static int walk_proc(const int range[2], descriptor_action *act) {
  _Alignas(struct entry) char buffer[2048];
  int own = MP_TRY(proc, open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  long n;
  if (own < 0) return -errno;
  while ((n = MP_CALL(syscall(SYS_getdents64, own, buffer, sizeof buffer))) > 0)
    walk_entries(buffer, n, own, range, act);
  int r = n < 0 ? -errno : 0;
  mp_os_close(own);
  return r;
}

/* With no /proc: every number that could be open. The soft limit may have been lowered below a
** descriptor that is open already, so the hard one bounds the walk. */
static int walk_numbers(const int range[2], descriptor_action *act) {
  struct rlimit limit;
  if (MP_CALL(getrlimit(RLIMIT_NOFILE, &limit)) < 0) return -errno;
  rlim_t end = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
  for (int fd = range[0]; fd <= range[1] && (rlim_t)fd < end; fd++) act(fd);
  return 0;
}

static int walk(const int range[2], descriptor_action *act) {
  return walk_proc(range, act) == 0 ? 0 : walk_numbers(range, act);
}

static int close_between(int first, int last) {
  if (first > last) return 0;
  long r = MP_TRY(close_range, syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0U));
  if (r == 0) return 0;
  if (!mp_os_absent(errno)) return -errno;
  return walk((const int[2]){ first, last }, close_one);
}

int mp_os_close_but(int first, const int *keep, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (keep[i] < first) continue;
    int r = close_between(first, keep[i] - 1);
    if (r < 0) return r;
    first = keep[i] + 1;
  }
  return close_between(first, INT_MAX);
}

int mp_os_cloexec_from(int first) {
  long r = MP_TRY(close_range_cloexec, syscall(SYS_close_range, (unsigned)first,
                                               (unsigned)INT_MAX, CLOSE_RANGE_CLOEXEC));
  if (r == 0) return 0;
  if (!mp_os_absent(errno)) return -errno;
  return walk((const int[2]){ first, INT_MAX }, cloexec_one);
}

/* ---- chance ---- */

static int random_from_device(unsigned char *at, size_t n) {
  int fd = MP_CALL(open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  ptrdiff_t r = fd < 0 ? -errno : 0;
  for (; r >= 0 && n > 0; at += r, n -= (size_t)r) {
    r = mp_os_read(fd, at, n);
    if (r == 0) r = -EIO;
    if (r < 0) break;
  }
  mp_os_close(fd);
  return r < 0 ? (int)r : 0;
}

int mp_os_random(void *buffer, size_t n) {
  unsigned char *at = buffer;
  while (n > 0) {
    ssize_t r = MP_TRY(getrandom, getrandom(at, n, 0));
    if (r < 0 && mp_os_absent(errno)) return random_from_device(at, n);
    if (r < 0 && errno != EINTR) return -errno;
    if (r > 0) {
      at += r;
      n -= (size_t)r;
    }
  }
  return 0;
}
