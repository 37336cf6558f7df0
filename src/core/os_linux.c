/* os_linux.c -- the Linux half of os.h: memory and words.
**
** The arena is a memfd: it has no name in any file system, so the kernel frees it with its last
** mapping, whatever was killed, and it is sealed at its final size, so nobody can take pages away
** under a mapping. Its pages come by mp_os_commit, never by touching, so that their lack is a
** result and not a SIGBUS. Sleeping and waking are futexes on words of that mapping; a waiter that
** dies is taken off the kernel's queue by the kernel. Nothing here is under a lock of ours but the
** list of pages that the fork handler zeroes; a fork waits for that lock, and a process that dies
** takes its private list with it.
*/
#include "os.h"
#include "os_call.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Younger than some of the C libraries that we build with. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define FAULT_WINDOW 65536u /* the kernel's fault-around, as it is unless somebody has set it */

/* ---- the file ---- */

/* Kernels from 6.3 on log a warning unless told whether a memfd may be executed; older ones
** refuse the flag. */
static int memfd_make(const char *name) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = MP_TRY(memfd_noexec, (int)syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL));
  if (fd < 0 && mp_os_absent(errno)) fd = MP_CALL((int)syscall(SYS_memfd_create, name, flags));
  return fd < 0 ? -errno : mp_os_raise_above_stdio(fd);
}

/* The limit is looked at first, as growing past it raises SIGXFSZ in the host. */
static int memfd_size(int fd, uint64_t size) {
  struct rlimit limit;
  if (size > INT64_MAX) return -EFBIG;
  if (MP_CALL(getrlimit(RLIMIT_FSIZE, &limit)) < 0) return -errno;
  if (limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur) return -EFBIG;
  int r;
  do r = MP_CALL(ftruncate(fd, (off_t)size)); while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : 0;
}

/* The size is final before the seals, and F_SEAL_SEAL keeps others from adding F_SEAL_WRITE. */
static int memfd_seal(int fd) {
  int r = MP_TRY(seal, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  return r < 0 && !mp_os_absent(errno) ? -errno : 0;
}

int mp_os_memfd(const char *name, uint64_t size, int *fd) {
  int made = memfd_make(name);
  if (made < 0) return made;
  int r = memfd_size(made, size);
  if (r == 0) r = memfd_seal(made);
  if (r < 0) {
    mp_os_close(made);
    return r;
  }
  *fd = made;
  return 0;
}

#define COMMIT_LEAST 65536u   /* small enough to be done between two signals of any real timer */

/* On older kernels any signal undoes what the interrupted fallocate has done so far, so that under
** a fast timer a large piece would never be done: each interruption halves the piece. */
int mp_os_commit(int fd, uint64_t offset, uint64_t length) {
  uint64_t piece = length;
  while (length > 0) {
    if (piece > length) piece = length;
    if (MP_CALL(fallocate(fd, 0, (off_t)offset, (off_t)piece)) == 0) {
      offset += piece;
      length -= piece;
    } else if (errno != EINTR) {
      return -errno;
    } else if (piece > COMMIT_LEAST) {
      piece /= 2;
    }
  }
  return 0;
}

int mp_os_punch(int fd, uint64_t offset, uint64_t length) {
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  int r;
  if (length == 0) return 0;
  do r = MP_TRY(punch, fallocate(fd, mode, (off_t)offset, (off_t)length));
  while (r < 0 && errno == EINTR);
  if (r < 0) return mp_os_absent(errno) ? -EOPNOTSUPP : -errno;
  return 0;
}

/* ---- mappings ---- */

static void *map_at(uintptr_t wish, int fd, size_t size) {
  return mmap((void *)wish, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
}

/* A fault of a child brings the pages of an aligned window with it; so the first ones begin with
** one. */
static void *map_aligned(int fd, size_t size) {
  void *at = map_at(0, fd, size);
  uintptr_t found = (uintptr_t)at;
  if (at == MAP_FAILED || found % FAULT_WINDOW == 0) return at;
  (void)munmap(at, size);
  return map_at(found - found % FAULT_WINDOW, fd, size); /* a wish; any other place will do */
}

int mp_os_map(int fd, size_t size, void **base) {
  void *at = MP_CALL(0) < 0 ? MAP_FAILED : map_aligned(fd, size);
  if (at == MAP_FAILED) return -errno;
  (void)MP_TRY(dontdump, madvise(at, size, MADV_DONTDUMP));   /* benign: only cores are larger */
  *base = at;
  return 0;
}

int mp_os_populate(void *address, size_t length) {
  const uintptr_t page = mp_os_page_size();
  uintptr_t first = (uintptr_t)address & ~(page - 1);
  uintptr_t end = ((uintptr_t)address + length + page - 1) & ~(page - 1);
  int r;
  if (length == 0) return 0;
  do r = MP_TRY(populate, madvise((void *)first, end - first, MADV_POPULATE_WRITE));
  while (r < 0 && errno == EINTR);
  return r < 0 && !mp_os_absent(errno) ? -errno : 0;
}

/* ---- the page that a fork wipes ---- */

/* Two pages are mapped: the caller's, and one with this link, which stays untouched and free of
** charge where the kernel does the wiping. */
struct wipe_link {
  struct wipe_link *next;    /* under wipe_lock */
  struct wipe_link **slot;   /* under wipe_lock; the pointer that points here, NULL: not listed */
};

static pthread_mutex_t wipe_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t wipe_once = PTHREAD_ONCE_INIT;
static struct wipe_link *wipe_list;   /* under wipe_lock */
static int wipe_handled;              /* fixed after wipe_once: 0, or -errno */

static void wipe_before_fork(void) {
  pthread_mutex_lock(&wipe_lock);
}

static void wipe_in_parent(void) {
  pthread_mutex_unlock(&wipe_lock);
}

static void wipe_in_child(void) {
  const size_t page = mp_os_page_size();
  for (struct wipe_link *l = wipe_list; l; l = l->next) memset((char *)l - page, 0, page);
  pthread_mutex_unlock(&wipe_lock);
}

static void wipe_handle_forks(void) {
  wipe_handled = -pthread_atfork(wipe_before_fork, wipe_in_parent, wipe_in_child);
}

static int wipe_by_hand(struct wipe_link *link) {
  pthread_once(&wipe_once, wipe_handle_forks);
  if (wipe_handled < 0) return wipe_handled;
  pthread_mutex_lock(&wipe_lock);
  link->next = wipe_list;
  link->slot = &wipe_list;
  if (link->next) link->next->slot = &link->next;
  wipe_list = link;
  pthread_mutex_unlock(&wipe_lock);
  return 0;
}

static void wipe_forget(struct wipe_link *link) {
  pthread_mutex_lock(&wipe_lock);
  if (link->slot) {
    *link->slot = link->next;
    if (link->next) link->next->slot = link->slot;
  }
  pthread_mutex_unlock(&wipe_lock);
}

int mp_os_wipe_page_map(void **address) {
  const size_t page = mp_os_page_size();
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  char *at = MP_CALL(0) < 0 ? MAP_FAILED
                            : mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (at == MAP_FAILED) return -errno;
  int r = MP_TRY(wipe_on_fork, madvise(at, page, MADV_WIPEONFORK)) < 0 ? -errno : 0;
  if (r < 0 && mp_os_absent(-r)) r = wipe_by_hand((struct wipe_link *)(void *)(at + page));
  if (r < 0) {
    mp_os_unmap(at, 2 * page);
    return r;
  }
  *address = at;
  return 0;
}

void *mp_os_wipe_page_unmap(void *address) {
  const size_t page = mp_os_page_size();
  if (address == NULL) return NULL;
  wipe_forget((struct wipe_link *)(void *)((char *)address + page));
  mp_os_unmap(address, 2 * page);
  return NULL;
}

/* ---- words ---- */

/* Never FUTEX_PRIVATE_FLAG: the word is in a mapping shared with others. Never without a time:
** the kernel repeats a wait that has none by itself after a handler with SA_RESTART, and the
** caller would not learn of the signal. */
int mp_os_futex_wait(const uint32_t *word, uint32_t expected, mp_deadline until) {
  if (until <= MP_NOW)
    return __atomic_load_n(word, __ATOMIC_SEQ_CST) == expected ? MP_TIMEOUT : 0;
  struct timespec at = { (time_t)(until / 1000000000), (long)(until % 1000000000) };
  long r = MP_CALL(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &at, NULL,
                           FUTEX_BITSET_MATCH_ANY));
  if (r == 0 || errno == EAGAIN) return 0;
  return errno == ETIMEDOUT ? MP_TIMEOUT : -errno;
}

int mp_os_futex_wake(const uint32_t *word, int n) {
  long r = MP_CALL(syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0));
  return r < 0 ? -errno : (int)r;
}
