/*
** Crash enumeration: for every store to shared memory that an operation makes, a participant is
** abandoned right before that store, others go on, and checkers and an oracle judge. Then the
** same with the one who cleans up abandoned too, at every store of the clean-up.
**
**     static void prepare(struct crash_world *w) { … w->object = …; }
**     static int put(struct crash_world *w, struct mp_context *c) { return mp_queue_put(…); }
**     static void judge(struct crash_world *w, bool done) { CHECK(old state || new state); }
**     TEST(queue_put_dies) { crash_enumerate(&(struct crash_case){"queue put", prepare, put,
** judge}); }
**
** `victim` is the participant that operates and dies, `other` one that lives and repairs, `extra`
** a third one that prepare may use as a bystander or a sleeper. They live in this process and
** each has handles of its own (crash_open). `judge` runs after the clean-up, with done = true
** only when the operation had returned before the end; it may use `other` and must leave the
** world such that mp_check_arena holds. prepare may set `meanwhile`: what `other` does right after
** the death, before anybody has noticed it. `operate` is called twice where it fails for want of
** something (crash_fail): so it must be one operation, or be given to crash_enumerate_steps.
**
** Worlds are put back from pictures (crash_lab.h), so what belongs to a case may be in static
** variables. Descriptors are in no picture: crash_enumerate_anew makes each world from nothing.
*/
#ifndef SPEC_CORE_CRASH_H
#define SPEC_CORE_CRASH_H

#include <setjmp.h>

#include "../../src/core/context.h"
#include "crash_lab.h"

struct crash_world {
  struct mp_context *victim, *other, *extra, *rescuer;
  struct mp_handle *mine, *theirs; /* of the object under test: victim's, other's */
  int result;                      /* of the operation, when it returned */
  bool done;                       /* it returned */
  intptr_t note[8];                /* for the case */
  void (*meanwhile)(struct crash_world *w); /* or NULL */
};

struct crash_case {
  const char *name;
  void (*prepare)(struct crash_world *w);
  int (*operate)(struct crash_world *w, struct mp_context *c);
  void (*judge)(struct crash_world *w, bool done);
};

static _Thread_local long crash_left; /* stores until the end */
static _Thread_local jmp_buf crash_exit;

static void crash_strike(const char *file, int line) {
  (void)file;
  (void)line;
  if (--crash_left == 0) {
    mp_crash_hook = NULL;
    longjmp(crash_exit, 1);
  }
}

/* Gives `c` a handle of its own on what `h` is a handle on. */
TEST_TOOL struct mp_handle *crash_open(struct mp_context *c, const struct mp_handle *h) {
  struct mp_handle *mine;
  CHECK_EQ(mp_handle_open(c, mp_handle_ticket(h), &mine), 0);
  return mine;
}

static struct mp_context *crash_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 128 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  c->spins = false;
  return c;
}

/* What `other` does while the victim naps: to be called from the victim's `tend`, which prepare may
** set to a function of its own. Nobody dies in it, and nothing fails. */
TEST_TOOL void crash_aside(void (*act)(struct crash_world *w), struct crash_world *w) {
  void (*hook)(const char *file, int line) = mp_crash_hook;
  enum lab_failing failing = lab->failing;
  int fail_after = mp_os_fail_after;
  mp_crash_hook = NULL;
  lab->failing = LAB_NOTHING;
  mp_os_fail_after = -1;
  act(w);
  mp_crash_hook = hook;
  lab->failing = failing;
  mp_os_fail_after = fail_after;
}

/* The deadline of those who wait in vain, or are helped at its end. */
#define CRASH_NAP mp_in(0.0005)

/* Kills a participant of this process. Its private memory is left alone, as a kill would. */
TEST_TOOL void crash_abandon(struct mp_context *by, struct mp_context *c) {
  mp_slot_abandon(by, mp_tag_index(c->tag));
}

TEST_TOOL void crash_begin(const struct crash_case *k, struct crash_world *w) {
  *w = (struct crash_world){.other = crash_context()};
  w->extra = crash_context();
  w->victim = crash_context();
  k->prepare(w);
}

/* Every arena ends with its last context; the dead ones' private parts go too. */
TEST_TOOL void crash_end(struct crash_world *w) {
  if (w->victim != NULL)
    w->victim->guard_value = 0; /* not valid: only its private memory is freed */
  if (w->rescuer != NULL) w->rescuer->guard_value = 0;
  mp_context_close(w->victim);
  mp_context_close(w->rescuer);
  mp_context_close(w->extra);
  mp_context_close(w->other);
}

/* Runs f(w, c) until its n-th store: true when it returned before that. */
TEST_TOOL bool crash_run(const struct crash_case *k, struct crash_world *w, struct mp_context *c,
                      long n) {
  crash_left = n;
  if (setjmp(crash_exit) != 0) return false;
  mp_crash_hook = crash_strike;
  if (k != NULL)
    w->result = k->operate(w, c);
  else
    mp_context_tend(c, true);
  mp_crash_hook = NULL;
  return true;
}

TEST_TOOL void crash_check(const struct crash_case *k, struct crash_world *w, const char *when,
                           long n, long m) {
  const char *wrong = mp_check_arena(w->other);
  if (wrong != NULL)
    test_fail(__FILE__, __LINE__, "%s, %s %ld, %ld: %s", k->name, when, n, m, wrong);
}

TEST_TOOL void crash_judge(const struct crash_case *k, struct crash_world *w, long n, long m) {
  mp_context_tend(w->other, true);
  crash_check(k, w, n < 0 ? "after failure" : "store, repair", n, m);
  k->judge(w, w->done);
  crash_check(k, w, n < 0 ? "judged after failure" : "judged, store, repair", n, m);
}

/* The victim dies at its n-th store. */
TEST_TOOL void crash_first(const struct crash_case *k, struct crash_world *w, long n) {
  w->done = crash_run(k, w, w->victim, n);
  crash_abandon(w->other, w->victim);
  if (w->meanwhile != NULL) w->meanwhile(w);
}

/* The first rescuer dies at the m-th store of its work: true when it had finished before. */
TEST_TOOL bool crash_second(struct crash_world *w, long m) {
  bool rescued = crash_run(NULL, w, w->rescuer, m);
  crash_abandon(w->other, w->rescuer);
  return rescued;
}

/* CRASH_EVERY=k takes every k-th death of the repair, from another one on for each first death (and
** each SEED): a sample for CI. 1, the default, leaves none out. */
TEST_TOOL long crash_every(void) {
  const char *s = getenv("CRASH_EVERY");
  return s != NULL && atol(s) > 1 ? atol(s) : 1;
}

TEST_TOOL long crash_first_repair(long n, long every) {
  const char *s = getenv("SEED");
  return 1 + (n + (s != NULL ? atol(s) : 0)) % every;
}

TEST_TOOL void crash_report(const char *name, long stores, long worlds, long failures) {
  printf("crash: %s: %ld stores, %ld worlds, %ld failures%s\n", name, stores, worlds, failures,
         crash_every() > 1 ? ", a sample of the repairs" : "");
  lab_counts->cases++;
  lab_counts->stores += stores;
  lab_counts->worlds += worlds;
  lab_counts->failures += failures;
}

/* ---- the n-th failure ---- */

/* The victim's n-th thing of that sort fails. What it did, if that made it fail, is then as if it
** had not been: `again` does it once more, with its usual result; else the victim dies. False:
** there is no n-th. */
TEST_TOOL bool crash_fail(const struct crash_case *k, struct crash_world *w,
                          const struct lab_failure *f, int usual) {
  lab_fail(f->what, f->n);
  w->result = k->operate(w, w->victim);
  if (!lab_failed()) return false;
  crash_check(k, w, "failure", -(long)f->what, f->n);
  if (w->result < 0) CHECK_EQ(w->result, -ENOMEM);
  if (w->result < 0 && f->again) w->result = k->operate(w, w->victim);
  w->done = w->result >= 0;
  if (w->done || f->again) CHECK_EQ(w->result, usual);
  crash_abandon(w->other, w->victim);
  if (w->meanwhile != NULL) w->meanwhile(w);
  crash_judge(k, w, -(long)f->what, f->n);
  return true;
}

/* ---- worlds from pictures: BEFORE the operation, and AFTER the victim's death ---- */

enum { BEFORE, AFTER };

/* The worlds of the n-th store: how many. *done: the operation had returned before it. */
TEST_TOOL long crash_store(const struct crash_case *k, struct crash_world *w, long n, bool *done) {
  long worlds = 1, every = crash_every();
  lab_put_back(BEFORE);
  crash_first(k, w, n);
  lab_take(AFTER);
  *done = w->done;
  crash_judge(k, w, n, 0);
  lab_put_back(AFTER);
  w->rescuer = crash_context();
  lab_take(AFTER);
  for (long m = crash_first_repair(n, every);; m += every, worlds++) {
    bool rescued = crash_second(w, m);
    crash_judge(k, w, n, m);
    if (rescued) return worlds + 1;
    lab_put_back(AFTER);
  }
}

/* Each failure, and the victim dies or tries again: how many. */
TEST_TOOL long crash_failures(const struct crash_case *k, struct crash_world *w, bool steps) {
  long count = 0;
  lab_put_back(BEFORE);
  int usual = k->operate(w, w->victim);
  for (struct lab_failure f = {.what = LAB_MALLOC}; f.what < LAB_FAILINGS; f.what++) {
    for (f.n = 0;; f.n++, count++) {
      f.again = false;
      lab_put_back(BEFORE);
      if (!crash_fail(k, w, &f, usual)) break;
      if (steps) continue;
      f.again = true;
      lab_put_back(BEFORE);
      CHECK(crash_fail(k, w, &f, usual));
    }
  }
  return count;
}

/* All failures, all N, and for each all M. Says how many worlds it tried. */
TEST_TOOL void crash_enumerate_both(const struct crash_case *k, bool steps) {
  static struct crash_world w;
  long worlds = 0, n = 0;
  crash_begin(k, &w);
  lab_begin(w.other);
  lab_take(BEFORE);
  long failures = crash_failures(k, &w, steps);
  for (bool done = false; !done;) worlds += crash_store(k, &w, ++n, &done);
  lab_end();
  crash_end(&w);
  crash_report(k->name, n - 1, worlds, failures);
}

TEST_TOOL void crash_enumerate(const struct crash_case *k) {
  crash_enumerate_both(k, false);
}

/* For several operations in a row: when one has failed, they cannot be done again from the
** start. */
TEST_TOOL void crash_enumerate_steps(const struct crash_case *k) {
  crash_enumerate_both(k, true);
}

/* ---- worlds made anew: for operations on descriptors, which are in no picture ---- */

TEST_TOOL bool crash_once(const struct crash_case *k, long n, long m, bool *rescued) {
  struct crash_world w;
  crash_begin(k, &w);
  crash_first(k, &w, n);
  if (m > 0) {
    w.rescuer = crash_context();
    *rescued = crash_second(&w, m);
  }
  crash_judge(k, &w, n, m);
  bool done = w.done;
  crash_end(&w);
  return done;
}

TEST_TOOL bool crash_fail_anew(const struct crash_case *k, const struct lab_failure *f) {
  struct crash_world w;
  crash_begin(k, &w);
  bool failed = crash_fail(k, &w, f, 0);
  crash_end(&w);
  return failed;
}

TEST_TOOL long crash_failures_anew(const struct crash_case *k) {
  long count = 0;
  for (struct lab_failure f = {.what = LAB_MALLOC}; f.what < LAB_FAILINGS; f.what++) {
    for (f.n = 0; f.again = false, crash_fail_anew(k, &f); f.n++, count++) {
      f.again = true;
      CHECK(crash_fail_anew(k, &f));
    }
  }
  return count;
}

TEST_TOOL void crash_enumerate_anew(const struct crash_case *k) {
  long worlds = 0, n = 0, every = crash_every();
  for (bool done = false; !done;) {
    bool rescued = false;
    done = crash_once(k, ++n, 0, &rescued);
    worlds++;
    for (long m = crash_first_repair(n, every); !rescued; m += every, worlds++)
      (void)crash_once(k, n, m, &rescued);
  }
  crash_report(k->name, n - 1, worlds, crash_failures_anew(k));
}

#endif
