/* os_posix.c -- the part of os.h that every Unix keeps alike: time, descriptors, pipes, signals.
**
** Nothing here is in shared memory or under a lock, and nothing outlives its call; what a process
** holds of it when it dies, its descriptors, the kernel closes. The invariant is about
** descriptors: each is close-on-exec before any other thread can fork, and each function that
** fails has closed what it opened. Where a call sleeps, its time is an absolute deadline from
** which each attempt's rest is computed anew.
*/
#include "os.h"
#include "os_call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

int64_t mp_os_monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);   /* fails only for an unknown clock */
  return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- processes ---- */

int32_t mp_os_pid(void) {
  return (int32_t)getpid();
}

int32_t mp_os_parent_pid(void) {
  return (int32_t)getppid();
}

int mp_os_fork(void) {
  pid_t pid = MP_CALL(fork());
  return pid < 0 ? -errno : (int)pid;
}

int mp_os_cpu_count(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : (int)n;
}

/* ---- memory ---- */

size_t mp_os_page_size(void) {
  return (size_t)sysconf(_SC_PAGESIZE);
}

void mp_os_unmap(void *base, size_t size) {
  if (base) (void)munmap(base, size);   /* fails only for what was never a mapping */
}

/* ---- descriptors ---- */

int mp_os_close(int fd) {
  if (fd >= 0) (void)close(fd);
  return -1;
}

int mp_os_dup(int fd, int *copy) {
  int r = MP_CALL(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (r < 0) return -errno;
  *copy = r;
  return 0;
}

int mp_os_file_size(int fd, uint64_t *bytes) {
  struct stat status;
  if (MP_CALL(fstat(fd, &status)) < 0) return -errno;
  *bytes = (uint64_t)status.st_size;
  return 0;
}

/* The kernel rounds the rest up, so that 0 never comes before the deadline. */
int mp_os_poll(struct pollfd *fds, size_t n, mp_deadline until) {
  struct timespec rest = { 0, 0 };
  int64_t left = until <= MP_NOW ? 0 : until - mp_os_monotonic();
  if (left > 0) {
    rest.tv_sec = (time_t)(left / NS_PER_S);
    rest.tv_nsec = (long)(left % NS_PER_S);
  }
  int r = MP_CALL(ppoll(fds, (nfds_t)n, until == MP_FOREVER ? NULL : &rest, NULL));
  return r < 0 ? -errno : r;
}

int mp_os_wait_readable(int fd, mp_deadline until) {
  struct pollfd p = { .fd = fd, .events = POLLIN };
  return mp_os_poll(&p, 1, until);
}

int mp_os_nonblocking(int fd, int on) {
  int flags = MP_CALL(fcntl(fd, F_GETFL));
  if (flags < 0) return -errno;
  flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return MP_CALL(fcntl(fd, F_SETFL, flags)) < 0 ? -errno : 0;
}

int mp_os_inheritable(int fd, int on) {
  int flags = MP_CALL(fcntl(fd, F_GETFD));
  if (flags < 0) return -errno;
  flags = on ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
  return MP_CALL(fcntl(fd, F_SETFD, flags)) < 0 ? -errno : 0;
}

ptrdiff_t mp_os_read(int fd, void *buffer, size_t n) {
  ssize_t r;
  do r = MP_CALL(read(fd, buffer, n)); while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

ptrdiff_t mp_os_write(int fd, const void *buffer, size_t n) {
  ssize_t r;
  do r = MP_CALL(write(fd, buffer, n)); while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

ptrdiff_t mp_os_send(int fd, const void *buffer, size_t n) {
  ssize_t r;
  do r = MP_CALL(send(fd, buffer, n, MSG_NOSIGNAL)); while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}
