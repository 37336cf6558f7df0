/* os.h -- what the core asks of the operating system, promise by promise.
**
** This header is the whole contract: no other file of the project calls the kernel, and no
** other file has a platform condition. What every Unix does alike is in os_posix.c, what only
** Linux does in os_linux*.c; a port is a new os_<name>.c that keeps these promises.
**
** Promises that hold for every function here:
** - The result is 0 or a value >= 0, a positive enum mp_outcome where one is listed, or -errno.
**   errno itself is never part of the contract. Out parameters are written only on success.
** - A descriptor is close-on-exec from birth; a failed call leaves none behind.
** - A call cut short by a signal is repeated, except where -EINTR is listed: there the caller
**   wants to look at its signals, and its absolute deadline makes the repetition exact.
** - No function keeps state that outlives its call, but for the list behind
**   mp_os_wipe_page_map's fallback. All may be called from any thread.
** - "Absent" means that the kernel, or the container's filter, answers ENOSYS, EPERM or EINVAL
**   where a present call could not. Absence is never an error where the table has a fallback.
**
**   call                    oldest kernel   without it
**   ----------------------  -------------   ---------------------------------------------------
**   memfd_create            3.17            none: mp_os_memfd fails, -ENOSYS
**   MFD_NOEXEC_SEAL         6.3             the memfd is made without the flag
**   F_ADD_SEALS             3.17            the memfd stays unsealed: trust between participants
**   MADV_DONTDUMP           3.4             core dumps contain the arena
**   fallocate on a memfd    3.5             none: memfd_create is younger
**   FALLOC_FL_PUNCH_HOLE    3.5             -EOPNOTSUPP: the caller keeps the run in its cache
**   MADV_POPULATE_WRITE     5.14            pages come one by one when they are first touched
**   MADV_WIPEONFORK         4.14            a fork handler zeroes the page; a raw clone() is unseen
**   FUTEX_WAIT_BITSET       2.6.25          none
**   pidfd_open              5.3             kill(pid, 0) and /proc/<pid>/stat, pid and start time
**   pidfd_send_signal       5.1             kill
**   waitid(P_PIDFD)         5.4             waitid(P_PID), still only for that one child
**   close_range             5.9             a walk of /proc/self/fd, or of all numbers
**   CLOSE_RANGE_CLOEXEC     5.11            the same walk, FD_CLOEXEC one by one
**   getrandom               3.17            /dev/urandom
**   /proc                   -               start times are unknown (0), then pids alone identify
**   epoll, timerfd, eventfd 2.6.27          none
**   signalfd                2.6.27          none: mp_os_child_news fails
**   autobound AF_UNIX       2.2             none
*/
#ifndef MP_OS_H
#define MP_OS_H

#include <stddef.h>
#include <stdint.h>

#include "base.h"

struct pollfd;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- time ---- */

/* CLOCK_MONOTONIC in nanoseconds. Cannot fail. Use mp_clock_now (clock.h). */
int64_t mp_os_monotonic(void);

/* ---- memory ---- */

/* The size of a page; a power of two. Cannot fail. */
size_t mp_os_page_size(void);

/* An anonymous file of exactly `size` bytes, all holes. Nobody can change its size afterwards
** (sealed), so no mapping of it can raise SIGBUS by truncation; holes can still be punched.
** -EFBIG where RLIMIT_FSIZE forbids the size: the kernel's SIGXFSZ is never provoked. */
int mp_os_memfd(const char *name, uint64_t size, int *fd);

/* Maps the first `size` bytes of fd, shared, readable and writable, at any address. Reserves no
** swap and no memory; left out of core dumps. -ENOMEM under RLIMIT_AS: try a smaller size. */
int mp_os_map(int fd, size_t size, void **base);
void mp_os_unmap(void *base, size_t size);

/* Gives [offset, offset+length) of the file its pages, zeroed where they were holes; pages that
** exist keep their contents. After 0, touching the range cannot raise SIGBUS. -ENOSPC, -ENOMEM:
** there is no room; a part may have been committed, which does no harm and can be punched. Goes
** on under a hail of signals. */
int mp_os_commit(int fd, uint64_t offset, uint64_t length);

/* Enters the pages of [address, address+length) (widened to whole pages) into this process's page
** table, so that first touches are cheap. A hint: 0 also where it is absent. */
int mp_os_populate(void *address, size_t length);

/* Gives the pages of the range back; it then reads as zeros and has to be committed again before
** use. Whole pages only. -EOPNOTSUPP: absent here, nothing was changed. */
int mp_os_punch(int fd, uint64_t offset, uint64_t length);

/* A private zeroed page that is zeroed again in every forked child, before the child runs any
** code of its own. Without MADV_WIPEONFORK a pthread_atfork handler does it, which a raw clone()
** does not run. */
int mp_os_wipe_page_map(void **address);
void *mp_os_wipe_page_unmap(void *address);   /* takes NULL; returns NULL */

/* The memory that this process can hope for: the least of the machine's RAM and of the limits of
** its control group and that group's ancestors (v2 or v1). */
int mp_os_ram(uint64_t *bytes);

/* ---- words ---- */

/* Sleeps while *word == expected, until a wake, the deadline or a signal; works across processes.
** 0: woken, or the value differed already, or for no reason at all: look again. MP_TIMEOUT.
** -EINTR: a signal handler ran, with or without SA_RESTART. MP_NOW only compares. */
int mp_os_futex_wait(const uint32_t *word, uint32_t expected, mp_deadline until);

/* Wakes at most n sleepers on the word; the number woken. */
int mp_os_futex_wake(const uint32_t *word, int n);

/* ---- processes ---- */

int32_t mp_os_pid(void);
int32_t mp_os_tid(void);
int32_t mp_os_parent_pid(void);

/* fork(): the child's pid, 0 in the child, -EAGAIN, -ENOMEM. */
int mp_os_fork(void);

/* The start time of a process, in the kernel's ticks since boot, never 0. With the pid it names a
** process for good: a pid is not used again within one tick. Reads one file of /proc; -ESRCH:
** no such process (or it is hidden from us); -ENOENT: no /proc. Write 0 for an unknown start. */
int mp_os_self_start(uint64_t *ticks);
int mp_os_start_of(int32_t pid, uint64_t *ticks);

/* How a process ended that nobody has reaped yet: exit code, or -signal. -ESRCH: it runs, is
** reaped, or another process has the pid by now. */
int mp_os_zombie_status(int32_t pid, uint64_t start, int *status);

/* 1 if the process of that pid and start time has ended: all its threads, reaped or not; 0 if it
** lives, stopped or not. start 0: any process of that pid counts. When nothing can be found out,
** 0: to take a dead one for living costs time, the reverse costs memory. Never an error. */
int mp_os_process_gone(int32_t pid, uint64_t start);

/* A number for the pid namespace of the caller: pids can be compared only within one. 0:
** unknown. */
int mp_os_pidns(uint64_t *id);

/* A descriptor that stands for the process and becomes readable when it has ended. -ENOSYS: absent,
** whatever the kernel said; -ESRCH: no such process. */
int mp_os_pidfd(int32_t pid, int *fd);

/* Signals whose numbers POSIX fixes. */
enum { MP_OS_INTERRUPT = 2, MP_OS_KILL = 9, MP_OS_TERMINATE = 15 };

/* Sends a signal to one process: through pidfd if that is >= 0 (never a stranger that got the pid
** later), else, or where it is absent, by pid, which must be positive. Signal 0 only asks. */
int mp_os_signal_process(int32_t pid, int pidfd, int sig);

/* Waits for this child alone, and reaps it. status: its exit code, or -signal if one killed it.
** nohang: MP_TIMEOUT while it runs; else waits until it ends. -ECHILD: not our child, or somebody
** else has reaped it. pidfd may be -1. */
int mp_os_wait_child(int32_t pid, int pidfd, int nohang, int *status);

/* Is this child of ours stopped now, by a signal? 0 also where it is not ours, or reaped. What a
** debugger holds is not stopped in this sense. */
int mp_os_child_stopped(int32_t pid);

/* A descriptor that is readable when a child has been stopped, continued or has ended, until it is
** drained. The signal that tells it is blocked in this thread, and in what it forks, until each of
** them closes the descriptor. For processes of our own: a host may have plans with its children. */
int mp_os_child_news(int *fd);
int mp_os_child_news_drain(int fd);
int mp_os_child_news_close(int fd); /* takes -1; returns -1 */

/* Asks for this signal when the *thread* that started us ends; 0 for none. Compare
** mp_os_parent_pid afterwards: the parent may have ended before. */
int mp_os_parent_death_signal(int sig);

/* How many threads this process has; 0: unknown. */
int mp_os_threads(void);

/* Bytes of memory that a process (0: this one) has in use, without what it shares with others by
** design (files, shared memory). -ENOENT: no such process, or no /proc. */
int mp_os_memory_used(int32_t pid, uint64_t *bytes);

/* The file that this process runs, as an absolute path. -ENAMETOOLONG; -ENOENT: no /proc. */
int mp_os_executable(char *path, size_t size);

/* _exit: no handler of anybody's runs, no buffer is flushed. */
void mp_os_exit(int status) __attribute__((noreturn));

/* Blocks all signals of this thread, and puts back what was. For the time of a fork: a signal that
** comes meanwhile waits, and runs no handler in the wrong process. */
struct mp_os_mask {
  uint64_t words[16];
};
void mp_os_signals_block(struct mp_os_mask *before);
void mp_os_signals_restore(const struct mp_os_mask *before);

/* For a child: every handler goes, what is ignored stays ignored (but for SIGCHLD, so that the
** child can wait for children of its own), SIGINT gets this handler unless it is ignored or the
** handler NULL, and nothing is blocked any more. System calls that the handler interrupts end with
** -EINTR. */
void mp_os_signals_reset(void (*interrupt)(int));
void mp_os_signal_reset(int sig); /* the same for one signal, without handler and mask */

/* For a child: standard input is the null device, and what was read ahead of it is forgotten. */
int mp_os_stdin_null(int state);

/* What there is to do for that, asked by its parent before the fork: a page that the child need not
** look at is a page fault less. */
enum { MP_OS_STDIN_NULL = 1, MP_OS_STDIN_READ = 2 }; /* it is the null device; it was read from */
int mp_os_stdin_state(void);

/* Is that descriptor a terminal? */
int mp_os_is_terminal(int fd);

/* fflush(NULL), which costs a fork's parent and child some page faults; not called where it is
** known that no stream has anything to write. */
void mp_os_flush(void);

/* Is there buffered output on one of the standard streams? */
int mp_os_output_pending(void);

/* A descriptor of ours must not be one that the standard streams may get: the same descriptor, or a
** copy from 3 on, and the first one is closed; -errno, and it is closed too. */
int mp_os_raise_above_stdio(int fd);

/* Processors that are on; at least 1. */
int mp_os_cpu_count(void);

/* Processors this process may use: its affinity, capped by its control group's quota, rounded up;
** at least 1. */
int mp_os_cpu_allowed(void);

/* What the control groups named in `membership` (as /proc/self/cgroup) allow, looked up under
** `root` (as /sys/fs/cgroup) from the group upwards. UINT64_MAX, 0: no limit. The two above and
** mp_os_ram call it with the machine's own files. */
struct mp_os_limits {
  uint64_t memory;      /* bytes, or UINT64_MAX */
  uint64_t millicpus;   /* thousandths of a processor, or UINT64_MAX */
};
void mp_os_cgroup_limits(const char *membership, const char *root, struct mp_os_limits *out);

/* ---- descriptors ---- */

/* fd = mp_os_close(fd): takes -1; returns -1. Never repeated: after EINTR the number is free. */
int mp_os_close(int fd);

/* As ppoll with an absolute deadline: the number of descriptors with events, 0 at the deadline
** and never before it, -EINTR. */
int mp_os_poll(struct pollfd *fds, size_t n, mp_deadline until);

/* Waits until fd is readable or its other end is gone: 1; 0 at the deadline; -EINTR. fd -1:
** sleeps. */
int mp_os_wait_readable(int fd, mp_deadline until);

int mp_os_dup(int fd, int *copy);                  /* a second descriptor for the same thing */
int mp_os_file_size(int fd, uint64_t *bytes);
int mp_os_pipe(int fds[2]);                        /* [0] to read from, [1] to write to */
int mp_os_socketpair(int type, int fds[2]);        /* AF_UNIX; SOCK_STREAM, SOCK_SEQPACKET, … */
int mp_os_nonblocking(int fd, int on);
int mp_os_inheritable(int fd, int on);             /* on: survives exec */

/* One read or write, repeated on EINTR: the bytes moved, 0 at the end of the file; -EAGAIN.
** mp_os_send is a write to a socket that raises no SIGPIPE: -EPIPE. */
ptrdiff_t mp_os_read(int fd, void *buffer, size_t n);
ptrdiff_t mp_os_write(int fd, const void *buffer, size_t n);
ptrdiff_t mp_os_send(int fd, const void *buffer, size_t n);

/* A counter to signal on, non-blocking: readable after mp_os_eventfd_post, until drained. */
int mp_os_eventfd(int *fd);
int mp_os_eventfd_post(int fd);
int mp_os_eventfd_drain(int fd);

/* From descriptor `first` on: closes all but the n in `keep` (ascending), or makes all of them
** close-on-exec. For a child between fork and exec: no malloc, no locks. */
int mp_os_close_but(int first, const int *keep, size_t n);
int mp_os_cloexec_from(int first);

/* ---- doorbells: a descriptor that any process of the session can make readable ---- */

/* A bell: a non-blocking datagram socket under a name that the kernel chose and that fits a word
** (never 0), to be stored in shared memory. The name dies with the socket. */
int mp_os_bell_create(int *fd, uint64_t *name);

/* A socket to ring with; one is enough for a process, and a bell of one's own serves as well. */
int mp_os_bell_sender(int *fd);

/* Makes the bell readable. Never waits. 0 also if it was rung often already or is gone; then
** nothing is owed. A sender whose earlier rings nobody has heard yet still rings. */
int mp_os_bell_ring(int sender, uint64_t name);

/* Makes it unreadable again; the number of rings taken. */
int mp_os_bell_drain(int fd);

/* A descriptor that is readable while one of its members is. */
int mp_os_epoll(int *fd);
int mp_os_epoll_add(int epoll, int fd);
int mp_os_epoll_remove(int epoll, int fd);

/* A timer, readable after each period until drained. ns 0 stops it. */
int mp_os_timerfd(int *fd);
int mp_os_timer_every(int fd, int64_t ns);
int mp_os_timer_drain(int fd);

/* ---- chance ---- */

/* n bytes from the kernel's generator, fit for keys. */
int mp_os_random(void *buffer, size_t n);

#ifdef __cplusplus
}
#endif

#endif
