/*
** Forks, and whoever dies in them: real processes, killed right before their n-th store.
**
** The case's own process T is the one that lives on and repairs. It forks V, the victim's family:
** V forks G. A plan says in which of the two the stores are counted and in what part of its life.
** All of them hold the end of a pipe, so that T knows when the last one is gone. After each world
** T repairs, and everything must be as before: its own slot, one holder for each object.
**
** Each first death is that of a real process. What the dead leave is a picture, from which one
** after the other repairs and dies at another store: processes too where the plan says so.
*/
#include <signal.h>

#include "../../src/core/object_layout.h"
#include "../../src/core/os.h"
#include "crash.h"

struct family {
  struct mp_context *c, *rescuer; /* T's own, and who repairs where that is no process */
  int alive[2]; /* a pipe: who has its end is alive */
  int handles;
};

struct plan {
  const char *name;
  int handles;
  bool tracked;
  void (*in_parent)(struct family *f, int pid, uint32_t tag); /* V, when G is there */
  void (*in_child)(struct family *f);                         /* G */
  bool counts_child;  /* the stores of G, else those of V */
  bool counts_fork;   /* from the fork on, else from in_parent or in_child on */
  bool processes;     /* those who repair are processes of their own */
};

static _Thread_local long stores_left;
static pid_t counted_not; /* its stores are not counted */

static void strike(const char *file, int line) {
  (void)file;
  (void)line;
  if (getpid() != counted_not && --stores_left == 0) kill(getpid(), SIGKILL);
}

static void die_at(long n) {
  stores_left = n;
  counted_not = 0;
  mp_crash_hook = strike;
}

static void end_here(struct family *f, int status) {
  mp_crash_hook = NULL;
  mp_context_end(f->c, status);
  _exit(status);
}

static void wait_for(int pid) {
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

/* V's whole life. Its status says whether the stores ran out: 0, they did not. */
static void victim(const struct plan *k, struct family *f, long n) {
  int pid;
  uint32_t tag;
  if (k->counts_fork) die_at(n);
  if (k->counts_child) counted_not = getpid();
  int r = mp_context_fork(f->c, k->tracked, &pid, &tag);
  if (r != 0) _exit(3);
  if (pid == 0) {
    if (!k->counts_child) mp_crash_hook = NULL;
    else if (!k->counts_fork) die_at(n);
    k->in_child(f);
    end_here(f, 0);
  }
  if (k->counts_child || k->counts_fork) mp_crash_hook = NULL;
  if (!k->counts_child && !k->counts_fork) die_at(n);
  k->in_parent(f, pid, tag);
  mp_crash_hook = NULL;
  int status = 0;
  if (k->counts_child && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)) status = 9;
  end_here(f, status);
}

static int fork_from(struct family *f) {
  int pid;
  uint32_t tag;
  CHECK_EQ(mp_context_fork(f->c, false, &pid, &tag), 0);
  return pid;
}

/* Until nobody has the writing end. */
static void wait_for_all(struct family *f) {
  char byte;
  close(f->alive[1]);
  while (read(f->alive[0], &byte, 1) > 0) {}
  close(f->alive[0]);
}

/* Lets another process repair and die at its m-th store: true when that had been enough. */
static bool repair_dies(struct family *f, long m) {
  int status, pid = fork_from(f);
  if (pid == 0) {
    die_at(m);
    mp_context_tend(f->c, true);
    end_here(f, 0);
  }
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status);
}

static mp_lock *locks[200];

static void judge(const struct plan *k, struct family *f, long n, long m) {
  mp_context_tend(f->c, true);
  const char *wrong = mp_check_arena(f->c);
  uint32_t high = w32_get(&mp_proctab(&f->c->arena)->high), slots = 0;
  for (uint32_t i = 0; i < high; i++) slots += w64_get(&mp_slot_at(&f->c->arena, i)->who) != 0;
  if (wrong == NULL && slots != 1) wrong = "a slot is left";
  for (int i = 0; wrong == NULL && i < k->handles; i++)
    if (w32_get(&locks[i]->object->holders) != 1) wrong = "an object has a holder too many";
  if (wrong != NULL)
    test_fail(__FILE__, __LINE__, "%s, store %ld, repair %ld: %s", k->name, n, m, wrong);
}

/* Real deaths. Gives whether the victim got through. */
static bool family_dies(const struct plan *k, struct family *f, long n) {
  int status, pid;
  CHECK_EQ(pipe(f->alive), 0);
  pid = fork_from(f);
  if (pid == 0) victim(k, f, n);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  wait_for_all(f);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The same as repair_dies without a process. */
static bool rescuer_dies(struct family *f, long m) {
  bool repaired = crash_run(NULL, NULL, f->rescuer, m);
  crash_abandon(f->c, f->rescuer);
  return repaired;
}

/* The worlds of the n-th store: how many. */
static long worlds(const struct plan *k, struct family *f, long n, bool *done) {
  long count = 1, every = crash_every();
  lab_put_back(BEFORE);
  *done = family_dies(k, f, n);
  lab_take(AFTER);
  judge(k, f, n, 0);
  lab_put_back(AFTER);
  if (!k->processes) f->rescuer = crash_context();
  lab_take(AFTER);
  for (long m = crash_first_repair(n, every);; m += every, count++) {
    bool repaired = k->processes ? repair_dies(f, m) : rescuer_dies(f, m);
    judge(k, f, n, m);
    if (repaired) return count + 1;
    lab_put_back(AFTER);
  }
}

static void enumerate(const struct plan *k) {
  static struct family f;
  struct mp_context_options o = {.memory = 64 << 20, .space = 128 << 20};
  long n = 0, sum = 0;
  f.handles = k->handles;
  CHECK_EQ(mp_context_open(&o, &f.c), 0);
  for (int i = 0; i < k->handles; i++) CHECK_EQ(mp_lock_new(f.c, &locks[i]), 0);
  lab_begin(f.c);
  lab_take(BEFORE);
  for (bool done = false; !done;) sum += worlds(k, &f, ++n, &done);
  lab_end();
  if (f.rescuer != NULL) f.rescuer->guard_value = 0;
  mp_context_close(f.rescuer);
  mp_context_close(f.c);
  crash_report(k->name, n - 1, sum, 0);
}

/* ---- what they do ---- */

static void nothing(struct family *f) {
  (void)f;
}

static void just_wait(struct family *f, int pid, uint32_t tag) {
  (void)f;
  (void)tag;
  if (getpid() != pid) {
    siginfo_t info; /* the status is still to be seen by victim() */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
  }
}

static void collect(struct family *f, int pid, uint32_t tag) {
  uint32_t ended = 0;
  long left = stores_left;
  wait_for(pid);
  stores_left = left;
  mp_context_collect(f->c, tag, &ended);
}

static void bury(struct family *f, int pid, uint32_t tag) {
  wait_for(pid);
  (void)mp_context_bury(f->c, tag);
}

/* Dies with all it has, as a kill would have it. */
static void drop_dead(struct family *f) {
  (void)f;
  mp_crash_hook = NULL;
  kill(getpid(), SIGKILL);
}

static void take_a_lock(struct family *f) {
  int r = mp_lock_acquire(locks[0], MP_FOREVER); /* who had it in the world before has died */
  CHECK(r == 0 || r == MP_ABANDONED);
  (void)f;
}

static void end_orderly(struct family *f) {
  take_a_lock(f);
  mp_context_end(f->c, 7);
  mp_crash_hook = NULL;
  _exit(0);
}

#define FORK_TEST(name, ...) \
  LONG_TEST(name, 240) { static const struct plan k = {__VA_ARGS__}; enumerate(&k); }

#define SOME ((int)MP_SLOT_HANDLES + 1) /* handles: more than a slot has room for */
#define MANY ((int)(MP_SLOT_HANDLES + ENTRIES_IN_BLOCK + 1)) /* more than a slot and a block have */

FORK_TEST(a_parent_dies_in_prepare, "fork, the parent, 2 handles", 2, true, just_wait, nothing,
          false, true, true)
FORK_TEST(a_parent_of_some_handles_dies_in_prepare, "fork, the parent, some handles", SOME, true,
          just_wait, nothing, false, true, false)
FORK_TEST(a_parent_of_many_handles_dies_in_prepare, "fork, the parent, many handles", MANY, true,
          just_wait, nothing, false, true, false)
FORK_TEST(a_child_dies_in_adopt, "fork, the child, 2 handles", 2, true, just_wait, nothing, true,
          true, true)
FORK_TEST(a_child_of_many_handles_dies_in_adopt, "fork, the child, many handles", MANY, true,
          just_wait, nothing, true, true, false)
FORK_TEST(an_untracked_child_dies_in_adopt, "fork, the untracked child", 2, false, just_wait,
          nothing, true, true, true)
FORK_TEST(a_child_dies_in_its_end, "the end of a child, 2 handles, a lock held", 2, true, just_wait,
          end_orderly, true, false, true)
FORK_TEST(a_child_of_many_handles_dies_in_its_end, "the end of a child, many handles", MANY, true,
          just_wait, end_orderly, true, false, false)
FORK_TEST(a_parent_dies_in_collect, "collect a killed child", 2, true, collect, drop_dead, false,
          false, true)
FORK_TEST(a_parent_dies_in_bury, "bury a killed child", 2, false, bury, drop_dead, false, false,
          true)

/* ---- the parent is gone before the child has come to its senses ---- */

static int told[2], answered[2]; /* pipes: G says that it waits, T says go on */

/* G's first store: its parent dies now, and T may clean up after both. */
static void orphan(const char *file, int line) {
  (void)file;
  (void)line;
  char byte = 'o';
  mp_crash_hook = NULL;
  pid_t parent = getppid();
  kill(parent, SIGKILL);
  while (getppid() == parent) test_sleep(0.0005);
  if (write(told[1], &byte, 1) != 1 || read(answered[0], &byte, 1) != 1) _exit(4);
}

static void orphan_in_child(const char *file, int line) {
  if (getpid() != counted_not) orphan(file, line);
}

static void orphaned(bool cleaned) {
  struct mp_context_options o = {.memory = 64 << 20, .space = 128 << 20};
  struct family f = {0};
  char byte = 0;
  int pid;
  uint32_t tag;
  CHECK_EQ(mp_context_open(&o, &f.c), 0);
  CHECK_EQ(mp_lock_new(f.c, &locks[0]), 0);
  CHECK(pipe(told) == 0 && pipe(answered) == 0 && pipe(f.alive) == 0);
  pid = fork_from(&f);
  if (pid == 0) {
    counted_not = getpid();
    mp_crash_hook = orphan_in_child;
    if (mp_context_fork(f.c, true, &pid, &tag) != 0) _exit(3);
    if (pid != 0) test_sleep(600);
    byte = mp_context_valid(f.c) ? 'v' : 'l';
    if (write(told[1], &byte, 1) != 1) _exit(4);
    if (byte == 'v') end_here(&f, 0);
    _exit(0);
  }
  CHECK(read(told[0], &byte, 1) == 1 && byte == 'o');
  wait_for(pid);
  if (cleaned) mp_context_tend(f.c, true);
  CHECK_EQ(write(answered[1], "g", 1), 1);
  CHECK_EQ(read(told[0], &byte, 1), 1);
  CHECK_EQ(byte, cleaned ? 'l' : 'v'); /* lost, or a participant like any other */
  wait_for_all(&f);
  const struct plan k = {.name = "orphan", .handles = 1};
  judge(&k, &f, 0, 0);
  for (int i = 0; i < 2; i++) close(told[i]), close(answered[i]);
  mp_context_close(f.c);
}

TEST(an_orphan_takes_part_unless_it_was_cleaned_up) {
  orphaned(false);
  orphaned(true);
}
