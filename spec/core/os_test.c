/* The memory and the words of os.h. */
#include "test.h"
#include "os_deny.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "../../src/core/clock.h"
#include "../../src/core/os.h"

#define MIB ((uint64_t)1 << 20)

struct file {
  int fd;
  char *base;
  size_t size;
};

static struct file file_open(size_t size) {
  struct file f = { -1, NULL, size };
  void *base = NULL;
  CHECK_EQ(mp_os_memfd("test", size, &f.fd), 0);
  CHECK_EQ(mp_os_map(f.fd, size, &base), 0);
  f.base = base;
  return f;
}

static void file_close(struct file f) {
  mp_os_unmap(f.base, f.size);
  CHECK_EQ(mp_os_close(f.fd), -1);
}

static uint64_t bytes_held(int fd) {
  struct stat s;
  CHECK_EQ(fstat(fd, &s), 0);
  return (uint64_t)s.st_blocks * 512;
}

/* ---- the file ---- */

static void file_has_its_size_and_no_more(void) {
  struct file f = file_open(16 * MIB);
  struct stat s;
  CHECK_EQ(fstat(f.fd, &s), 0);
  CHECK_EQ(s.st_size, 16 * MIB);
  CHECK_EQ(bytes_held(f.fd), 0);
  CHECK(fcntl(f.fd, F_GETFD) & FD_CLOEXEC);
  file_close(f);
}
TEST(memfd_is_sparse_and_closes_on_exec) { file_has_its_size_and_no_more(); }
TEST(memfd_without_noexec) { without("memfd_noexec", file_has_its_size_and_no_more); }
TEST(memfd_without_seals) { without("seal", file_has_its_size_and_no_more); }
TEST(memfd_without_dontdump) { without("dontdump", file_has_its_size_and_no_more); }

TEST(nobody_can_resize_or_reseal_the_file) {
  mp_os_deny("");
  struct file f = file_open(MIB);
  CHECK(ftruncate(f.fd, 0) < 0 && errno == EPERM);
  CHECK(ftruncate(f.fd, 2 * (off_t)MIB) < 0 && errno == EPERM);
  CHECK(fcntl(f.fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
  file_close(f);
}

TEST(unsealed_is_what_the_denial_gives) {   /* the fallback is taken, not only survived */
  mp_os_deny("seal");
  struct file f = file_open(MIB);
  CHECK_EQ(fcntl(f.fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  file_close(f);
}

TEST(a_file_beyond_the_limit_is_refused_without_a_signal) {
  struct rlimit limit = { MIB, MIB };
  int fd = -1;
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  CHECK_EQ(mp_os_memfd("test", 2 * MIB, &fd), -EFBIG);
  CHECK_EQ(mp_os_memfd("test", UINT64_MAX, &fd), -EFBIG);
  CHECK_EQ(fd, -1);
}

TEST(a_mapping_larger_than_the_address_space_is_refused) {
  struct file f = file_open(MIB);
  void *base = NULL;
  CHECK(mp_os_map(f.fd, (size_t)1 << 62, &base) < 0);   /* -ENOMEM; valgrind's kernel: -EINVAL */
  CHECK(base == NULL);
  file_close(f);
}

TEST(commit_gives_zeroed_pages_and_keeps_what_is_there) {
  mp_os_deny("");
  struct file f = file_open(16 * MIB);
  CHECK_EQ(mp_os_commit(f.fd, MIB, MIB), 0);
  CHECK_EQ(bytes_held(f.fd), MIB);
  strcpy(f.base + MIB, "kept");
  CHECK_EQ(mp_os_commit(f.fd, 0, 4 * MIB), 0);
  CHECK_EQ(bytes_held(f.fd), 4 * MIB);
  CHECK_STR(f.base + MIB, "kept");
  CHECK_EQ(f.base[0], 0);
  CHECK_EQ(mp_os_commit(f.fd, 0, 0), 0);
  CHECK_EQ(mp_os_commit(f.fd, 15 * MIB, 2 * MIB), -EPERM);   /* past the sealed end */
  file_close(f);
}

static void on_signal(int sig) {
  (void)sig;
}

static void handle(int sig, int flags) {
  struct sigaction act = { .sa_handler = on_signal, .sa_flags = flags };
  CHECK_EQ(sigaction(sig, &act, NULL), 0);
}

/* Stands in for the C library's: as long as it is set, no larger piece is done between two signals,
** as on kernels where any signal, not only a deadly one, cuts fallocate short. */
static off_t largest_undisturbed;

int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (largest_undisturbed > 0 && length > largest_undisturbed) {
    errno = EINTR;
    return -1;
  }
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

TEST(commit_halves_what_signals_keep_undoing) {
  struct file f = file_open(16 * MIB);
  largest_undisturbed = 100000;
  CHECK_EQ(mp_os_commit(f.fd, 4096, f.size - 8192), 0);
  CHECK_EQ(bytes_held(f.fd), f.size - 8192);
  file_close(f);
}

TEST(commit_goes_on_under_a_hail_of_signals) {
  struct file f = file_open(64 * MIB);
  struct itimerval hail = { { 0, 300 }, { 0, 300 } }, calm = { { 0, 0 }, { 0, 0 } };
  handle(SIGALRM, 0);   /* the harness has its alarm in another process */
  CHECK_EQ(setitimer(ITIMER_REAL, &hail, NULL), 0);
  int r = mp_os_commit(f.fd, 0, f.size);
  CHECK_EQ(setitimer(ITIMER_REAL, &calm, NULL), 0);
  CHECK_EQ(r, 0);
  CHECK_EQ(bytes_held(f.fd), f.size);
  file_close(f);
}

TEST(commit_says_when_there_is_no_room) {
  struct file f = file_open(MIB);
  mp_os_fail_with = ENOSPC;
  mp_os_fail_after = 0;
  CHECK_EQ(mp_os_commit(f.fd, 0, MIB), -ENOSPC);
  mp_os_fail_with = EINTR;
  mp_os_fail_after = 0;
  CHECK_EQ(mp_os_commit(f.fd, 0, MIB), 0);
  CHECK_EQ(mp_os_fail_after, -1);
  file_close(f);
}

TEST(punch_gives_back_and_leaves_zeros) {
  mp_os_deny("");
  struct file f = file_open(4 * MIB);
  CHECK_EQ(mp_os_commit(f.fd, 0, 4 * MIB), 0);
  memset(f.base, 7, 4 * MIB);
  CHECK_EQ(mp_os_punch(f.fd, MIB, 2 * MIB), 0);
  CHECK_EQ(bytes_held(f.fd), 2 * MIB);
  CHECK_EQ(f.base[MIB - 1], 7);
  CHECK_EQ(f.base[MIB], 0);
  CHECK_EQ(f.base[3 * MIB - 1], 0);
  CHECK_EQ(f.base[3 * MIB], 7);
  CHECK_EQ(mp_os_punch(f.fd, 0, 0), 0);
  file_close(f);
}

static void punch_changes_nothing(void) {
  struct file f = file_open(MIB);
  CHECK_EQ(mp_os_commit(f.fd, 0, MIB), 0);
  f.base[0] = 7;
  CHECK_EQ(mp_os_punch(f.fd, 0, MIB), -EOPNOTSUPP);
  CHECK_EQ(f.base[0], 7);
  CHECK_EQ(bytes_held(f.fd), MIB);
  file_close(f);
}
TEST(without_punching_the_run_stays) { without("punch", punch_changes_nothing); }

/* ---- mappings ---- */

static long pages_resident(const struct file *f) {
  unsigned char seen[1024];
  size_t page = mp_os_page_size();
  long n = 0;
  CHECK(f->size / page <= sizeof seen);
  CHECK_EQ(mincore(f->base, f->size, seen), 0);
  for (size_t i = 0; i < f->size / page; i++) n += seen[i] & 1;
  return n;
}

static long minor_faults(void) {
  struct rusage u;
  CHECK_EQ(getrusage(RUSAGE_SELF, &u), 0);
  return u.ru_minflt;
}

static long faults_of_touching(const struct file *f) {
  long before = minor_faults();
  for (size_t i = 0; i < f->size; i += mp_os_page_size()) f->base[i] = 1;
  return minor_faults() - before;
}

TEST(populate_spares_the_first_touches) {
  mp_os_deny("");
  struct file f = file_open(MIB), fresh = file_open(MIB);
  const long pages = (long)(f.size / mp_os_page_size());
  CHECK_EQ(mp_os_commit(fresh.fd, 0, MIB), 0);
  CHECK_EQ(mp_os_populate(f.base + 1, f.size - 2), 0);   /* widened to whole pages */
  CHECK_EQ(pages_resident(&f), pages);
  long spared = faults_of_touching(&fresh) - faults_of_touching(&f);
  CHECK(spared > pages / 2);
  CHECK_EQ(mp_os_populate(f.base, 0), 0);
  file_close(f);
  file_close(fresh);
}

static void populate_is_only_a_hint(void) {
  struct file f = file_open(MIB);
  CHECK_EQ(mp_os_populate(f.base, f.size), 0);
  CHECK_EQ(pages_resident(&f), 0);
  f.base[0] = 1;
  file_close(f);
}
TEST(without_populate_pages_come_on_touch) { without("populate", populate_is_only_a_hint); }

/* In a child made by `clone_raw` or fork: is the page's first byte zero, and writable? */
static int first_byte_in_child(char *page, int raw) {
  int status;
  pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
  if (pid == 0) {
    int seen = page[0];
    page[0] = 9;
    _exit(page[0] == 9 ? seen : 99);
  }
  CHECK(pid > 0);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(a_fork_wipes_the_page_even_by_raw_clone) {
  void *page;
  mp_os_deny("");
  CHECK_EQ(mp_os_wipe_page_map(&page), 0);
  memset(page, 7, mp_os_page_size());
  CHECK_EQ(first_byte_in_child(page, 0), 0);
  CHECK_EQ(first_byte_in_child(page, 1), 0);
  CHECK_EQ(*(char *)page, 7);
  CHECK(mp_os_wipe_page_unmap(page) == NULL);
  CHECK(mp_os_wipe_page_unmap(NULL) == NULL);
}

static void fork_handler_wipes(void) {
  void *pages[3];
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(mp_os_wipe_page_map(&pages[i]), 0);
    memset(pages[i], 7, mp_os_page_size());
  }
  for (int i = 0; i < 3; i++) CHECK_EQ(first_byte_in_child(pages[i], 0), 0);
  CHECK_EQ(first_byte_in_child(pages[0], 1), 7);   /* as the contract warns */
  mp_os_wipe_page_unmap(pages[1]);                 /* from the middle of the list */
  CHECK_EQ(first_byte_in_child(pages[0], 0), 0);
  CHECK_EQ(first_byte_in_child(pages[2], 0), 0);
  mp_os_wipe_page_unmap(pages[2]);
  CHECK_EQ(first_byte_in_child(pages[0], 0), 0);
  mp_os_wipe_page_unmap(pages[0]);
}
TEST(without_wipe_on_fork_a_handler_does_it) { without("wipe_on_fork", fork_handler_wipes); }

/* ---- words ---- */

TEST(a_wait_for_a_value_that_differs_returns_at_once) {
  uint32_t word = 5;
  CHECK_EQ(mp_os_futex_wait(&word, 4, MP_FOREVER), 0);
  CHECK_EQ(mp_os_futex_wait(&word, 4, MP_NOW), 0);
  CHECK_EQ(mp_os_futex_wait(&word, 5, MP_NOW), MP_TIMEOUT);
  CHECK_EQ(mp_os_futex_wait(&word, 5, mp_clock_now() - 1), MP_TIMEOUT);
  CHECK_EQ(mp_os_futex_wake(&word, 1), 0);
}

TEST(a_wait_ends_at_its_deadline) {
  uint32_t word = 5;
  double before = test_now();
  CHECK_EQ(mp_os_futex_wait(&word, 5, mp_in(0.05)), MP_TIMEOUT);
  CHECK_TOOK(test_now() - before, 0.05);
}

static pid_t sleeper(uint32_t *word, int good) {
  pid_t pid = fork();
  if (pid == 0) _exit(mp_os_futex_wait(word, 0, MP_FOREVER) == good ? 0 : 1);
  return pid;
}

static int reap(pid_t pid) {
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

/* Wakes up to n until `wanted` have been woken in all, as sleepers may be on their way still. */
static void wake_in_all(uint32_t *word, int n, int wanted) {
  double end = test_now() + 5 * test_slow();
  for (int woken = 0; woken < wanted;) {
    int r = mp_os_futex_wake(word, n);
    CHECK(r >= 0 && r <= n);
    woken += r;
    CHECK(test_now() < end);
    test_sleep(0.001);
  }
}

TEST(a_wake_reaches_other_processes_and_counts_them) {
  struct file f = file_open(MIB);
  uint32_t *word = (uint32_t *)(void *)f.base;
  pid_t a = sleeper(word, 0), b = sleeper(word, 0);
  wake_in_all(word, 1, 2);
  CHECK_EQ(reap(a), 0);
  CHECK_EQ(reap(b), 0);
  file_close(f);
}

static char state_of(pid_t pid) {
  char path[40], text[200] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY);
  CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return strrchr(text, ')')[2];
}

static int sleeps(void *pid) {
  return state_of(*(pid_t *)pid) == 'S';
}

/* With SA_RESTART the kernel would go on waiting by itself, were there no time in the call. */
static void a_signal_ends_the_wait(int flags) {
  struct file f = file_open(MIB);
  handle(SIGUSR1, flags);
  pid_t pid = sleeper((uint32_t *)(void *)f.base, -EINTR);
  test_sleep(0.05);
  CHECK(test_eventually(sleeps, &pid));
  CHECK_EQ(kill(pid, SIGUSR1), 0);
  CHECK_EQ(reap(pid), 0);
  file_close(f);
}
TEST(a_signal_ends_a_wait) { a_signal_ends_the_wait(0); }
TEST(a_signal_ends_a_wait_under_sa_restart) { a_signal_ends_the_wait(SA_RESTART); }

TEST(a_bad_word_is_an_error) {
  CHECK_EQ(mp_os_futex_wait((const uint32_t *)(uintptr_t)4096, 0, mp_in(1)), -EFAULT);
}
