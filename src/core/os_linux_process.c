/* os_linux_process.c -- the Linux half of os.h: who lives, who has ended, who is told.
**
** A process is named by pid and start time. Its end is judged by a pidfd, which is readable when
** the whole thread group is dead, reaped or not; where pidfds are absent, by kill(pid, 0) and the
** state in /proc/<pid>/stat, where a zombie counts as ended only once no thread is left beside it.
** Every doubt is settled for the living: to take the dead for living delays a clean-up to the next
** look, to take the living for dead would hand its memory to others. Nothing is shared or locked.
*/
#include "os.h"
#include "os_call.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Younger than some of the C libraries that we build with; the same on all architectures. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define WAIT_BY_PIDFD ((idtype_t)3)   /* P_PIDFD, an enumerator, so it cannot be tested for */

int32_t mp_os_tid(void) {
  return (int32_t)syscall(SYS_gettid);
}

/* ---- /proc/<pid>/stat ---- */

/* What we read of it; proc(5) numbers the fields from 1. */
struct process_stat {
  char state;         /* field 3 */
  uint64_t threads;   /* field 20 */
  uint64_t start;     /* field 22 */
  int status;         /* the last field, 52: as wait gives it; 0 for other users' processes */
};

/* A number; `*p` is left behind it. No function of the C library: a forked child reads this, and
** would pay a page fault for each that it has not run yet. */
static uint64_t stat_number(const char **p) {
  uint64_t n = 0;
  bool minus = **p == '-';
  if (minus) (*p)++;
  for (; **p >= '0' && **p <= '9'; (*p)++) n = n * 10 + (uint64_t)(**p - '0');
  return minus ? 0 - n : n;
}

/* The text's second field is the name in parentheses, which may hold spaces and parentheses
** itself, so the fields are counted from the last closing one. */
static int stat_parse(const char *text, size_t length, struct process_stat *out) {
  const char *p = text + length;
  while (p > text && *p != ')') p--;
  if (p == text || p[1] != ' ' || p[2] == '\0') return -EPROTO;
  struct process_stat s = { .state = p[2] };
  int field = 3;
  for (p += 3; *p == ' '; ) {
    p++;
    uint64_t n = stat_number(&p);
    field++;
    if (field == 20) s.threads = n;
    if (field == 22) s.start = n;
    s.status = (int)n; /* the last one */
  }
  if (field < 22) return -EPROTO;
  *out = s;
  return 0;
}

static int stat_read(const char *path, struct process_stat *out) {
  char text[1024];   /* a name is at most 64 bytes, the numbers before field 22 at most 400 */
  int fd = MP_TRY(proc, open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -errno;
  ptrdiff_t n = mp_os_read(fd, text, sizeof text - 1);
  mp_os_close(fd);
  if (n < 0) return (int)n;
  text[n] = '\0';
  return stat_parse(text, (size_t)n, out);
}

static int stat_of(int32_t pid, struct process_stat *out) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int r = stat_read(path, out);
  if (r != -ENOENT) return r;
  return access("/proc/self", F_OK) == 0 ? -ESRCH : -ENOENT;
}

int mp_os_self_start(uint64_t *ticks) {
  struct process_stat s;
  int r = stat_read("/proc/self/stat", &s);
  if (r == 0) *ticks = s.start;
  return r;
}

int mp_os_start_of(int32_t pid, uint64_t *ticks) {
  struct process_stat s;
  int r = pid <= 0 ? -ESRCH : stat_of(pid, &s);
  if (r == 0) *ticks = s.start;
  return r;
}

int mp_os_zombie_status(int32_t pid, uint64_t start, int *status) {
  struct process_stat s;
  int r = pid <= 0 ? -ESRCH : stat_of(pid, &s);
  if (r != 0) return r;
  if ((s.state != 'Z' && s.state != 'X') || (start != 0 && s.start != start)) return -ESRCH;
  *status = WIFSIGNALED(s.status) ? -WTERMSIG(s.status) : WEXITSTATUS(s.status);
  return 0;
}

/* ---- who has ended ---- */

static int pidfd_open_raw(int32_t pid) {
  int fd = MP_TRY(pidfd_open, (int)syscall(SYS_pidfd_open, pid, 0));
  return fd < 0 ? -errno : mp_os_raise_above_stdio(fd);
}

/* Whether pidfds exist here at all: asked of a process that certainly does. */
static int pidfd_absent(void) {
  int fd = pidfd_open_raw(mp_os_pid());
  mp_os_close(fd);
  return fd < 0 && mp_os_absent(-fd);
}

int mp_os_pidfd(int32_t pid, int *fd) {
  if (pid <= 0) return -ESRCH;
  int made = pidfd_open_raw(pid);
  if (made >= 0) {
    *fd = made;
    return 0;
  }
  if (made == -ENOSYS || made == -EPERM) return -ENOSYS;
  /* A thread's number, not a process's: newer kernels say ENOENT, older ones EINVAL. */
  if (made == -ENOENT) return -ESRCH;
  if (made == -EINVAL) return pidfd_absent() ? -ENOSYS : -ESRCH;
  return made;
}

/* The pid is in use: is it still our process that uses it? */
static int gone_by_start(int32_t pid, uint64_t start) {
  uint64_t now;
  return start != 0 && mp_os_start_of(pid, &now) == 0 && now != start;
}

/* A child of ours that is still to be reaped, by us or by our host. */
static int child_ended(int32_t pid) {
  siginfo_t info = { 0 };
  int r = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
  return r == 0 && info.si_pid == pid;
}

/* The fallback for kernels without pidfds and for tables without a free descriptor. Where neither
** tells, a zombie can be told from a process by its parent alone. */
static int gone_by_stat(int32_t pid, uint64_t start) {
  struct process_stat s;
  if (kill(pid, 0) < 0 && errno == ESRCH) return 1;
  if (stat_of(pid, &s) < 0) return child_ended(pid);
  if (start != 0 && s.start != start) return 1;
  /* A leader that has ended is a zombie while its other threads run on; they are counted. */
  return (s.state == 'Z' || s.state == 'X') && s.threads <= 1;
}

int mp_os_process_gone(int32_t pid, uint64_t start) {
  int fd;
  if (pid <= 0) return 1;
  int r = mp_os_pidfd(pid, &fd);
  if (r == -ESRCH) return 1;
  if (r < 0) return gone_by_stat(pid, start);
  struct pollfd p = { .fd = fd, .events = POLLIN };
  int ended = poll(&p, 1, 0);
  mp_os_close(fd);
  if (ended < 0) return gone_by_stat(pid, start);
  return ended > 0 || gone_by_start(pid, start);
}

int mp_os_pidns(uint64_t *id) {
  struct stat s;
  int r = MP_TRY(proc, stat("/proc/self/ns/pid", &s));
  *id = r < 0 ? 0 : (uint64_t)s.st_ino;
  return 0;
}

/* ---- telling and waiting ---- */

int mp_os_signal_process(int32_t pid, int pidfd, int sig) {
  if (pidfd >= 0) {
    long r = MP_TRY(pidfd_signal, syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0));
    if (r == 0) return 0;
    /* EPERM is a filter's or the target's answer; kill tells which. */
    if (!mp_os_absent(errno)) return -errno;
  }
  if (pid <= 0) return -EINVAL;   /* 0 and below would be groups, or everybody */
  return MP_CALL(kill(pid, sig)) < 0 ? -errno : 0;
}

static int wait_once(int32_t pid, int pidfd, int options, siginfo_t *info) {
  memset(info, 0, sizeof *info);
  if (pidfd >= 0) {
    int r = MP_TRY(pidfd_wait, waitid(WAIT_BY_PIDFD, (id_t)pidfd, info, options));
    if (r == 0) return 0;
    if (!mp_os_absent(errno)) return -errno;
  }
  return MP_CALL(waitid(P_PID, (id_t)pid, info, options)) < 0 ? -errno : 0;
}

int mp_os_wait_child(int32_t pid, int pidfd, int nohang, int *status) {
  siginfo_t info;
  int r;
  if (pid <= 0) return -ECHILD;
  do r = wait_once(pid, pidfd, WEXITED | (nohang ? WNOHANG : 0), &info); while (r == -EINTR);
  if (r < 0) return r;
  if (info.si_pid == 0) return MP_TIMEOUT;
  *status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  return 0;
}

int mp_os_child_stopped(int32_t pid) {
  siginfo_t info = { 0 };
  if (pid <= 0) return 0;
  /* ends are left for mp_os_wait_child; WNOWAIT: the next one who asks hears the same */
  int r = MP_CALL(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT));
  return r == 0 && info.si_pid == pid && info.si_code == CLD_STOPPED;
}

static sigset_t signals_of_children(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  return set;
}

int mp_os_child_news(int *fd) {
  sigset_t set = signals_of_children();
  int r = MP_CALL(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  r = r < 0 ? -errno : mp_os_raise_above_stdio(r);
  if (r < 0) return r;
  pthread_sigmask(SIG_BLOCK, &set, NULL);   /* fails only for an unknown `how` */
  *fd = r;
  return 0;
}

int mp_os_child_news_drain(int fd) {
  struct signalfd_siginfo news[4]; /* this signal does not queue */
  ptrdiff_t r = mp_os_read(fd, news, sizeof news);
  return r == -EAGAIN || r > 0 ? 0 : (int)r;
}

int mp_os_child_news_close(int fd) {
  sigset_t set = signals_of_children();
  if (fd >= 0) pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  return mp_os_close(fd);
}

int mp_os_parent_death_signal(int sig) {
  return MP_CALL(prctl(PR_SET_PDEATHSIG, (unsigned long)sig, 0, 0, 0)) < 0 ? -errno : 0;
}

/* ---- this process ---- */

/* glibc from 2.32 on; elsewhere it is not there. True: certainly one thread. */
extern char __libc_single_threaded __attribute__((weak));

static bool single_threaded(void) {
  return &__libc_single_threaded != NULL && __libc_single_threaded;
}

int mp_os_threads(void) {
  struct stat s;
  if (single_threaded()) return 1;
  if (MP_TRY(proc, stat("/proc/self/task", &s)) < 0 || s.st_nlink < 3) return 0;
  return (int)s.st_nlink - 2; /* a folder for each, and . and .. */
}

#ifdef __GLIBC__
extern FILE *_IO_list_all __attribute__((weak)); /* all open streams; glibc's, by its ABI */

/* What fflush would look at, without its locks: they are not needed while there is one thread. A
** wide stream keeps its text elsewhere. */
static bool output_waits(void) {
  if (&_IO_list_all == NULL || !single_threaded()) return true;
  for (const FILE *f = _IO_list_all; f != NULL; f = f->_chain)
    if (f->_mode > 0 || f->_IO_write_ptr > f->_IO_write_base) return true;
  return false;
}
#else
static bool output_waits(void) {
  return true;
}
#endif

int mp_os_output_pending(void) {
#ifdef __GLIBC__
  if (stdout->_mode <= 0 && stderr->_mode <= 0 && single_threaded())
    return stdout->_IO_write_ptr > stdout->_IO_write_base ||
           stderr->_IO_write_ptr > stderr->_IO_write_base;
#endif
  return __fpending(stdout) > 0 || __fpending(stderr) > 0;
}

void mp_os_flush(void) {
  if (output_waits()) fflush(NULL);
}

int mp_os_executable(char *path, size_t size) {
  ssize_t n = MP_TRY(proc, readlink("/proc/self/exe", path, size));
  if (n < 0) return -errno;
  if ((size_t)n >= size) return -ENAMETOOLONG;
  path[n] = '\0';
  return 0;
}
