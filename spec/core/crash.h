/*
** Crash enumeration: for every store to shared memory that an operation makes, a participant is
** abandoned right before that store, others go on, and checkers and an oracle judge. Then the
** same with the one who cleans up abandoned too, at every store of the clean-up.
**
**     static void prepare(struct crash_world *w) { … w->object = …; }
**     static int put(struct crash_world *w, struct mp_context *c) { return mp_queue_put(…); }
**     static void judge(struct crash_world *w, bool done) { CHECK(old state || new state); }
**     TEST(queue_put_dies) { crash_enumerate(&(struct crash_case){"queue put", prepare, put, judge}); }
**
** `victim` is the participant that operates and dies, `other` one that lives and repairs, `extra`
** a third one that prepare may use as a bystander or a sleeper. They live in this process and
** each has handles of its own (crash_open). `judge` runs after the clean-up, with done = true
** only when the operation had returned before the end; it may use `other` and must leave the
** world such that mp_check_arena holds. prepare may set `meanwhile`: what `other` does right after
** the death, before anybody has noticed it.
*/
#ifndef SPEC_CORE_CRASH_H
#define SPEC_CORE_CRASH_H

#include <setjmp.h>

#include "../../src/core/context.h"
#include "test.h"

struct crash_world {
  struct mp_context *victim, *other, *extra;
  struct mp_handle *mine, *theirs; /* of the object under test: victim's, other's */
  int result;                      /* of the operation, when it returned */
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
__attribute__((unused)) static struct mp_handle *crash_open(struct mp_context *c,
                                                            const struct mp_handle *h) {
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

/* Kills a participant of this process. Its private memory is left alone, as a kill would. */
static void crash_abandon(struct mp_context *by, struct mp_context *c) {
  mp_slot_abandon(by, mp_tag_index(c->tag));
}

static void crash_begin(const struct crash_case *k, struct crash_world *w) {
  *w = (struct crash_world){.other = crash_context()};
  w->extra = crash_context();
  w->victim = crash_context();
  k->prepare(w);
}

/* Every arena ends with its last context; the dead one's private part goes too. */
static void crash_end(struct crash_world *w, struct mp_context *dead, struct mp_context *rescuer) {
  if (dead != NULL) dead->guard_value = 0; /* not valid: only its private memory is freed */
  if (rescuer != NULL) rescuer->guard_value = 0;
  mp_context_close(dead);
  mp_context_close(rescuer);
  mp_context_close(w->extra);
  mp_context_close(w->other);
}

/* Runs f(w, c) until its n-th store: true when it returned before that. */
static bool crash_run(const struct crash_case *k, struct crash_world *w, struct mp_context *c,
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

static void crash_judge(const struct crash_case *k, struct crash_world *w, bool done, long n,
                        long m) {
  mp_context_tend(w->other, true);
  const char *wrong = mp_check_arena(w->other);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s, store %ld, repair %ld: %s", k->name, n, m, wrong);
  k->judge(w, done);
  wrong = mp_check_arena(w->other);
  if (wrong != NULL)
    test_fail(__FILE__, __LINE__, "%s, store %ld, repair %ld, afterwards: %s", k->name, n, m, wrong);
}

/* One world: the victim dies at store n, the first rescuer at store m of its work (0: nobody does).
** Gives whether the operation, or the rescue, had come to its end before. */
static bool crash_once(const struct crash_case *k, long n, long m, bool *rescued) {
  struct crash_world w;
  struct mp_context *rescuer = NULL;
  crash_begin(k, &w);
  bool done = crash_run(k, &w, w.victim, n);
  crash_abandon(w.other, w.victim);
  if (w.meanwhile != NULL) w.meanwhile(&w);
  if (m > 0) {
    rescuer = crash_context();
    *rescued = crash_run(NULL, &w, rescuer, m);
    crash_abandon(w.other, rescuer);
  }
  crash_judge(k, &w, done, n, m);
  crash_end(&w, w.victim, rescuer);
  return done;
}

/* CRASH_EVERY=k takes every k-th death of the repair, from another one on for each first death (and
** each SEED): a sample for CI. 1, the default, leaves none out. */
static long crash_every(void) {
  const char *s = getenv("CRASH_EVERY");
  return s != NULL && atol(s) > 1 ? atol(s) : 1;
}

static long crash_first_repair(long n, long every) {
  const char *s = getenv("SEED");
  return 1 + (n + (s != NULL ? atol(s) : 0)) % every;
}

/* All N, and for each every sparse-th M of the repair: more than 1 for operations whose repair is
** for the most part the heap's, which is enumerated elsewhere. Says how many worlds it tried. */
static void crash_enumerate_some(const struct crash_case *k, long sparse) {
  long worlds = 0, stores = 0, every = crash_every() * sparse;
  for (long n = 1;; n++) {
    bool rescued = false;
    bool done = crash_once(k, n, 0, &rescued);
    worlds++;
    for (long m = crash_first_repair(n, every); !rescued; m += every, worlds++)
      (void)crash_once(k, n, m, &rescued);
    stores = n;
    if (done) break;
  }
  printf("crash: %s: %ld stores, %ld worlds%s\n", k->name, stores - 1, worlds,
         every > 1 ? ", a sample of the repairs" : "");
}

/* All N, and for each all M. */
__attribute__((unused)) static void crash_enumerate(const struct crash_case *k) {
  crash_enumerate_some(k, 1);
}

#endif
