/*
** The single-step killer: no crash points, no test build. A real child process of the optimised
** build is led through one operation instruction by instruction and killed with SIGKILL after
** the k-th, for every k; then a survivor cleans up, a judge and the whole-arena check decide.
** It sees what compilers reorder and what crash points between stores cannot show. CRASH_EVERY=n
** takes every n-th instruction, from another one on for each SEED: a sample for CI.
**
**     static void get(struct step_world *w, struct mp_context *c) { … }
**     TEST(kill_in_get) { step_through(&(struct step_case){"queue get", prepare, get, judge}); }
**
** `prepare` runs in the parent before each fork; `warm` (may be NULL) in the child before the
** first step; `operate` is stepped; `settle` (may be NULL) runs in the parent right after the kill,
** before anybody has cleaned up, and brings those to rest who were in an operation too; `judge`
** runs in the parent after the clean-up, with what the child noted in w->shared and whether the
** operation had returned.
**
** A *peer* is a survivor in a process of its own, asked again and again to do one thing, such as
** to wait for what the victim is about to give.
*/
#ifndef SPEC_STEP_H
#define SPEC_STEP_H

#include <sys/ptrace.h>

#include "../../src/core/context.h"
#include "../core/test.h"

#define STEP_ALL 3000  /* up to so many instructions each one is a place to die */
#define STEP_STRIDE 13 /* beyond, every 13th */

struct step_shared { /* seen by parent and child, outside of the arena */
  volatile int done;
  volatile intptr_t note[8];
};

struct step_peer { /* seen by parent, peer and child */
  volatile int asked, answered; /* how many times */
  volatile int result;          /* of the last time */
  pid_t pid;
  uint32_t tag;
};

struct step_world {
  struct mp_context *c;
  struct step_peer *peer; /* NULL: none */
  struct step_shared *shared;
  struct mp_handle *object;
  intptr_t state[8]; /* the parent's, for the case */
};

struct step_case {
  const char *name;
  void (*prepare)(struct step_world *w);
  void (*warm)(struct step_world *w);
  void (*operate)(struct step_world *w);
  void (*judge)(struct step_world *w, bool done);
  void (*settle)(struct step_world *w);
};

/* ---- peers ---- */

/* Starts a peer that has all handles which the parent has now. */
__attribute__((unused)) static void peer_start(struct step_world *w,
                                               int (*act)(struct step_world *w)) {
  int pid;
  uint32_t tag;
  struct step_peer *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  w->peer = p;
  fflush(NULL);
  CHECK_EQ(mp_context_fork(w->c, false, &pid, &tag), 0);
  for (int n = 0; pid == 0; n++) {
    while (p->asked == n) test_sleep(0.0001);
    p->result = act(w);
    p->answered = n + 1;
  }
  p->pid = pid;
  p->tag = tag;
}

/* Asks it; returns when it sleeps on something shared. */
__attribute__((unused)) static void peer_ask(struct step_world *w) {
  struct mp_slot *s = mp_slot_at(&w->c->arena, mp_tag_index(w->peer->tag));
  w->peer->asked++;
  for (double end = test_now() + 5 * test_slow(); w64_get(&s->waits) == 0; test_sleep(0.0001))
    if (test_now() > end) test_fail(__FILE__, __LINE__, "the peer does not wait");
}

/* Its answer, which is to come within a second. */
__attribute__((unused)) static int peer_answer(const struct step_world *w) {
  for (double end = test_now() + 1 + TOLERANCE; w->peer->answered != w->peer->asked;) {
    if (test_now() > end) test_fail(__FILE__, __LINE__, "the peer was not woken");
    test_sleep(0.0001);
  }
  return w->peer->result;
}

static void peer_end(struct step_world *w) {
  if (w->peer == NULL) return;
  kill(w->peer->pid, SIGKILL);
  CHECK_EQ(waitpid(w->peer->pid, NULL, 0), w->peer->pid);
  munmap(w->peer, 4096);
}

/* ---- the victim ---- */

/* The child: says that it is ready, operates, says that it is done. */
static void step_child(const struct step_case *k, struct step_world *w) {
  if (k->warm != NULL) k->warm(w);
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(2);
  raise(SIGSTOP);
  k->operate(w);
  w->shared->done = 1;
  raise(SIGSTOP);
  _exit(0);
}

/* One instruction; false when the child is no longer there to be led. */
static bool step_once(pid_t pid) {
  int status;
  if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) return false;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

/* Kills a child after k instructions of the operation. Gives the number it made: k, or fewer. */
static long step_kill(const struct step_case *k, struct step_world *w, long steps) {
  int pid, status;
  uint32_t tag;
  w->shared->done = 0;
  for (int i = 0; i < 8; i++) w->shared->note[i] = 0;
  k->prepare(w);
  fflush(NULL);
  CHECK_EQ(mp_context_fork(w->c, false, &pid, &tag), 0);
  if (pid == 0) step_child(k, w);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  long made = 0;
  while (made < steps && !w->shared->done && step_once(pid)) made++;
  kill(pid, SIGKILL);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  return made;
}

static void step_judge(const struct step_case *k, struct step_world *w, long steps) {
  bool done = w->shared->done != 0;
  double before = test_now();
  if (k->settle != NULL) k->settle(w);
  mp_context_tend(w->c, true);
  const char *wrong = mp_check_arena(w->c);
  if (wrong != NULL)
    test_fail(__FILE__, __LINE__, "%s, killed after %ld: %s", k->name, steps, wrong);
  k->judge(w, done);
  wrong = mp_check_arena(w->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s, after %ld: %s", k->name, steps, wrong);
  if (test_now() - before > 1 + TOLERANCE)
    test_fail(__FILE__, __LINE__, "%s, killed after %ld: the survivor was held up", k->name, steps);
}

__attribute__((unused)) static void step_through(const struct step_case *k) {
  struct step_world w = {0};
  struct mp_context_options o = {.memory = 128 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &w.c), 0);
  w.shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const char *every = getenv("CRASH_EVERY"), *seed = getenv("SEED");
  long stride = every != NULL && atol(every) > 1 ? atol(every) : 1;
  long kills = 0, steps = seed != NULL ? atol(seed) % stride : 0;
  for (;; steps += steps < STEP_ALL || stride > STEP_STRIDE ? stride : STEP_STRIDE) {
    long made = step_kill(k, &w, steps);
    step_judge(k, &w, made);
    kills++;
    if (made < steps || w.shared->done) break;
  }
  printf("step: %s: %ld instructions, %ld kills\n", k->name, steps, kills);
  peer_end(&w);
  munmap(w.shared, 4096);
  mp_context_close(w.c);
}

#endif
