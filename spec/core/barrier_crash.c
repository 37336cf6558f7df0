/* Barriers, and whoever dies in the middle of them. */
#include "../../src/core/sync.h"
#include "crash.h"

static struct mp_handle *third;

static void prepare_for(struct crash_world *w, unsigned parties) {
  CHECK_EQ(mp_barrier_new(w->other, parties, &w->theirs), 0);
  w->mine = crash_open(w->victim, w->theirs);
  third = crash_open(w->extra, w->theirs);
}

static void prepare_one(struct crash_world *w) {
  prepare_for(w, 1);
}
static void prepare_two(struct crash_world *w) {
  prepare_for(w, 2);
}

/* A participant goes inside, and stays there, asleep for us. */
static _Thread_local jmp_buf asleep;

static int fall_asleep(void *arg) {
  (void)arg;
  longjmp(asleep, 1);
}

static void put_inside(struct mp_context *c, struct mp_handle *h) {
  unsigned number;
  c->interrupted = fall_asleep;
  if (setjmp(asleep) == 0) CHECK_EQ(mp_barrier_wait(h, mp_in(5), NULL, &number), -1);
  c->interrupted = NULL;
  CHECK(w32_get(&h->entry->held) != 0);
}

static void prepare_awaited(struct crash_world *w) {
  prepare_for(w, 2);
  put_inside(w->extra, third);
}

static void prepare_victim_inside(struct crash_world *w) {
  prepare_for(w, 3);
  put_inside(w->victim, w->mine);
  put_inside(w->extra, third);
}

static int always(void *arg) {
  (void)arg;
  return 1;
}

static void prepare_interrupted(struct crash_world *w) {
  prepare_two(w);
  w->victim->interrupted = always;
}

/* The victim was inside, and the last party has come. */
static void prepare_let_out(struct crash_world *w) {
  unsigned number;
  prepare_two(w);
  put_inside(w->victim, w->mine);
  CHECK_EQ(mp_barrier_wait(w->theirs, MP_NOW, NULL, &number), 0);
}

/* The extra one, the only party, is in its action. */
static int stop_acting(void *arg) {
  (void)arg;
  longjmp(asleep, 1);
}

static void prepare_acting(struct crash_world *w) {
  mp_barrier_act a = {stop_acting, NULL};
  unsigned number;
  prepare_for(w, 1);
  if (setjmp(asleep) == 0) CHECK_EQ(mp_barrier_wait(third, MP_NOW, &a, &number), -1);
}

static void prepare_nothing(struct crash_world *w) {
  (void)w;
}

static int make(struct crash_world *w, struct mp_context *c) {
  struct mp_parcel action = {.bytes = "act", .length = 3};
  mp_barrier *b;
  (void)w;
  int r = mp_barrier_new_with(c, 2, &action, &b);
  if (r == 0) mp_barrier_close(b);
  return r;
}

static int pass(struct crash_world *w, struct mp_context *c) {
  unsigned number;
  (void)c;
  return mp_barrier_wait(w->mine, MP_FOREVER, NULL, &number);
}

static int well(void *arg) {
  (void)arg;
  return 0;
}
static int badly(void *arg) {
  (void)arg;
  return 1;
}

static int pass_acting(struct crash_world *w, struct mp_context *c) {
  mp_barrier_act a = {well, NULL};
  unsigned number;
  (void)c;
  return mp_barrier_wait(w->mine, MP_FOREVER, &a, &number);
}

static int pass_failing(struct crash_world *w, struct mp_context *c) {
  mp_barrier_act a = {badly, NULL};
  unsigned number;
  (void)c;
  return mp_barrier_wait(w->mine, MP_FOREVER, &a, &number);
}

static int wait_in_vain(struct crash_world *w, struct mp_context *c) {
  unsigned number;
  (void)c;
  return mp_barrier_wait(w->mine, CRASH_NAP, NULL, &number);
}

static int nothing(struct crash_world *w, struct mp_context *c) {
  (void)w;
  (void)c;
  return 0;
}

static int reset(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_barrier_reset(w->mine);
  return 0;
}

static int make_plain(struct crash_world *w, struct mp_context *c) {
  (void)w;
  mp_barrier *b;
  return mp_barrier_new(c, 2, &b);
}

static int abort_it(struct crash_world *w, struct mp_context *c) {
  (void)c;
  mp_barrier_abort(w->mine);
  return 0;
}

static int go_out(struct crash_world *w, struct mp_context *c) {
  unsigned number = 0;
  (void)c;
  return mp_barrier_go_on(w->mine, MP_NOW, &number);
}

static void judge_nothing_left(struct crash_world *w, bool done) {
  uint32_t count[MP_KINDS];
  (void)done;
  mp_object_counts(w->other, count);
  CHECK_EQ(count[MP_KIND_BARRIER], 0);
}

/* Broken or not, after a reset it works. */
static void judge_usable(struct crash_world *w, bool done) {
  unsigned number;
  (void)done;
  mp_barrier_reset(w->theirs);
  CHECK_EQ(mp_barrier_look_at(w->theirs).waiting, 0);
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 0);
  if (mp_barrier_look_at(w->theirs).parties == 1)
    CHECK_EQ(mp_barrier_wait(w->theirs, MP_NOW, NULL, &number), 0);
  else
    CHECK_EQ(mp_barrier_wait(w->theirs, MP_NOW, NULL, &number), MP_BROKEN);
}

/* What the extra one, which is inside, is told when it looks. */
static int extra_hears(struct crash_world *w) {
  unsigned number = 0;
  (void)w;
  return mp_barrier_go_on(third, MP_NOW, &number);
}

/* The victim was the second of two: both pass, or it breaks. */
static void judge_pair(struct crash_world *w, bool done) {
  int heard;
  if (!mp_barrier_look_at(w->theirs).broken && mp_barrier_look_at(w->theirs).waiting == 1) {
    CHECK(!done); /* it died before it came */
    CHECK_EQ(extra_hears(w), MP_BROKEN); /* by its own deadline */
  } else {
    heard = extra_hears(w);
    CHECK(heard == 0 || heard == MP_BROKEN);
    CHECK(!done || heard == w->result);
    CHECK_EQ(mp_barrier_look_at(w->theirs).broken, heard == MP_BROKEN);
  }
  judge_usable(w, done);
}

static void judge_broken(struct crash_world *w, bool done) {
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 1);
  CHECK_EQ(extra_hears(w), MP_BROKEN);
  judge_usable(w, done);
}

static void judge_reset(struct crash_world *w, bool done) {
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 0);
  if (done) CHECK_EQ(mp_barrier_look_at(w->theirs).waiting, 0);
  CHECK_EQ(extra_hears(w), MP_BROKEN);
  judge_usable(w, done);
}

static void judge_abort(struct crash_world *w, bool done) {
  CHECK(mp_barrier_look_at(w->theirs).broken || !done);
  CHECK_EQ(extra_hears(w), MP_BROKEN); /* else by its own deadline */
  judge_usable(w, done);
}

/* Died inside, and it is broken; or its arrival was taken back. */
static void judge_interrupted(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(w->result, MP_INTERRUPTED);
  if (done) CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 0);
  CHECK_EQ(mp_barrier_look_at(w->theirs).waiting, 0);
  judge_usable(w, done);
}

/* It had passed: who dies on the way out breaks nothing. */
static void judge_let_out(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(w->result, 0);
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 0);
  judge_usable(w, done);
}

/* It never came in; the action's end, by its party's death, breaks the barrier. */
static void judge_outside(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(w->result, MP_TIMEOUT);
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 0);
  w->extra = mp_context_close(w->extra);
  CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 1);
  judge_usable(w, done);
}

static void judge_timeout(struct crash_world *w, bool done) {
  if (done) CHECK_EQ(w->result, MP_BROKEN);
  if (done) CHECK_EQ(mp_barrier_look_at(w->theirs).broken, 1);
  judge_usable(w, done);
}

#define CRASH_TEST(name, prepare, operation, judge)                                   \
  LONG_TEST(name, 120) {                                                              \
    crash_enumerate(&(struct crash_case){"barrier: " #name, prepare, operation, judge}); \
  }

CRASH_TEST(a_death_in_new_and_close, prepare_nothing, make, judge_nothing_left)
CRASH_TEST(a_death_alone, prepare_one, pass, judge_usable)
CRASH_TEST(a_death_in_the_action, prepare_one, pass_acting, judge_usable)
CRASH_TEST(a_death_in_a_wait, prepare_two, wait_in_vain, judge_timeout)
CRASH_TEST(a_death_of_the_last_to_come, prepare_awaited, pass, judge_pair)
CRASH_TEST(a_death_of_the_actor, prepare_awaited, pass_acting, judge_pair)
CRASH_TEST(a_death_of_an_actor_who_fails, prepare_awaited, pass_failing, judge_pair)
CRASH_TEST(a_death_in_the_sleep, prepare_victim_inside, nothing, judge_broken)
CRASH_TEST(a_death_in_reset, prepare_awaited, reset, judge_reset)
CRASH_TEST(a_death_in_abort, prepare_awaited, abort_it, judge_abort)
CRASH_TEST(a_death_in_new, prepare_nothing, make_plain, judge_nothing_left)
CRASH_TEST(a_death_in_an_interrupted_wait, prepare_interrupted, wait_in_vain, judge_interrupted)
CRASH_TEST(a_death_on_the_way_out, prepare_let_out, go_out, judge_let_out)
CRASH_TEST(a_death_in_front_of_an_action, prepare_acting, wait_in_vain, judge_outside)
