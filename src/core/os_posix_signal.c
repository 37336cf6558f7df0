/* os_posix_signal.c -- the part of os.h about signals, standard input and the end of a process.
**
** A forked child begins with its parent's handlers, whose data it does not have, with its mask, and
** with a copy of what the parent had read ahead. These functions put that right. They keep no
** state; only the forking thread exists in the child when they run there. A process that dies
** between two of them leaves nothing, as all they touch is its own.
*/
#include "os.h"
#include "os_call.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FIRST_OURS 3   /* descriptors below are the standard streams */

_Static_assert(sizeof(struct mp_os_mask) >= sizeof(sigset_t), "a mask has room for a sigset_t");

void mp_os_signals_block(struct mp_os_mask *before) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);   /* fails only for an unknown `how` */
  memcpy(before, &old, sizeof old);
}

void mp_os_signals_restore(const struct mp_os_mask *before) {
  sigset_t old;
  memcpy(&old, before, sizeof old);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void mp_os_signal_reset(int sig) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) < 0) return;   /* not a signal, or the C library's own */
  int ignored = !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN;
  int standard = !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
  if (standard || (ignored && sig != SIGCHLD)) return;
  memset(&now, 0, sizeof now);
  now.sa_handler = SIG_DFL;
  (void)sigaction(sig, &now, NULL);
}

static void signal_handle(int sig, void (*handler)(int)) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) < 0) return;
  if (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN) return;
  memset(&now, 0, sizeof now);
  now.sa_handler = handler;
  (void)sigaction(sig, &now, NULL);
}

void mp_os_signals_reset(void (*interrupt)(int)) {
  sigset_t none;
  for (int sig = 1; sig < NSIG; sig++) mp_os_signal_reset(sig);
  if (interrupt != NULL) signal_handle(SIGINT, interrupt);
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static int is_null_device(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3);
}

int mp_os_stdin_state(void) {
  int buffered = __fbufsize(stdin) != 0 ? MP_OS_STDIN_READ : 0; /* else it was never read from */
  return buffered | (is_null_device(STDIN_FILENO) ? MP_OS_STDIN_NULL : 0);
}

int mp_os_stdin_null(int state) {
  if (state & MP_OS_STDIN_READ) {
    __fpurge(stdin);
    clearerr(stdin);
  }
  if (state & MP_OS_STDIN_NULL) return 0;
  int fd = MP_CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -errno;
  if (fd == STDIN_FILENO) return mp_os_inheritable(fd, 1);
  int r = MP_CALL(dup2(fd, STDIN_FILENO)) < 0 ? -errno : 0;
  mp_os_close(fd);
  return r;
}

int mp_os_is_terminal(int fd) {
  return isatty(fd) == 1;
}

int mp_os_raise_above_stdio(int fd) {
  if (fd >= FIRST_OURS) return fd;
  int r = MP_CALL(fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OURS));
  int error = errno;
  mp_os_close(fd);
  return r < 0 ? -error : r;
}

void mp_os_exit(int status) {
  _exit(status);
}
