/*
** Torture: workers do random operations on shared objects, a killer kills them, and a judge asks
** afterwards what no kill may change (work.h, journal.h).
**
**     make crash SECONDS=60 SEED=7        as long as that
**     KILLS=10000 build/test/spec/crash/torture
**
** From time to time all come to rest: then nothing may be held or half done. Whoever does not come
** to rest within two seconds was stuck. Two seats are never killed, only stopped: these survivors
** must get on through everything. All that once more where memory is used up most of the time. The
** operations of a life follow from SEED and its number; when the kernel runs whom does not.
*/
#include "../../src/core/object_layout.h"
#include "work.h"
#include "hoard.h"

#define KILL_EVERY 0.005 /* seconds at most from one to the next */
#define BURST 400
#define MEMORY (256u << 20)
#define SURVIVORS 2u
#define STUCK (2 * test_slow())

struct torture {
  struct mp_context *c;
  struct objects o;
  struct journal *j;
  struct sums sum;
  enum fault fault;
  bool scarce; /* from time to time memory is used up */
  struct hoard hoard;
  uint64_t seed, random;
  uint32_t seats, lives;
  int gone[2]; /* a pipe whose other end every process holds */
};

/* ---- workers ---- */

static int asked_to_rest(void *arg) {
  const struct journal *j = arg;
  return j->rest || j->ending;
}

static void worker_rest(struct worker *w) {
  w->s->op = OP_REST;
  while (w->j->rest && !w->j->ending) test_sleep(0.0005);
  w->s->op = OP_NONE;
}

static void worker_step(struct worker *w) {
  static void (*const what[])(struct worker *) = {
    do_lock, do_lock, do_rlock, do_condition, do_condition, do_bounded, do_bounded, do_undo,
    do_plain, do_add, do_event, do_barrier, do_object, do_object};
  uint32_t n = dice(w, 1000);
  if (n < 5) do_fork(w);
  else if (n < 15) do_tend(w);
  else if (n < 400) do_put(w);
  else if (n < 800) do_get(w);
  else what[n % (sizeof what / sizeof *what)](w);
}

static void worker_run(struct torture *t, uint32_t seat) {
  static struct worker w;
  w = (struct worker){.c = t->c, .o = &t->o, .j = t->j, .s = &t->j->seat[seat], .fault = t->fault};
  w.scarce = t->scarce;
  w.seat = seat;
  w.life = w.s->life;
  w.random = (t->seed * UINT64_C(0x9e3779b97f4a7c15)) ^ (w.life * UINT64_C(0xbf58476d1ce4e5b9));
  for (int i = 0; i < 8; i++) (void)next_random(&w.random);
  close(t->gone[0]);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the judge end before us */
  w.c->interrupted = asked_to_rest;
  w.c->interrupted_arg = w.j;
  while (!w.j->ending && w.seq < LIFE_MESSAGES) {
    if (w.j->rest) worker_rest(&w);
    worker_step(&w);
  }
  mp_context_end(w.c, 0);
  _exit(0);
}

static void seat_fill(struct torture *t, uint32_t i) {
  struct seat *s = &t->j->seat[i];
  hoard_grant(&t->hoard);
  int pid;
  uint32_t tag;
  CHECK(++t->lives < LIVES);
  *s = (struct seat){.life = t->lives, .changed = test_now()};
  CHECK_EQ(mp_context_fork(t->c, false, &pid, &tag), 0);
  if (pid == 0) worker_run(t, i);
  s->pid = t->j->life[s->life].pid = pid;
}

/* The worker has ended and is reaped. */
static void seat_empty(struct torture *t, struct seat *s, int status) {
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
    if (status != 0) test_fail(__FILE__, __LINE__, "a worker ended by itself, status %x", status);
  } else {
    t->sum.deaths++;
  }
  seat_settle(t->j, s, &t->sum);
  s->pid = 0;
}

/* Those that have ended by themselves. */
static void seats_reap(struct torture *t, bool refill) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    for (uint32_t i = 0; i < t->seats; i++) {
      if (t->j->seat[i].pid != pid) continue;
      seat_empty(t, &t->j->seat[i], status);
      if (refill) seat_fill(t, i);
      break;
    }
}

/* ---- the killer ---- */

static double chance(struct torture *t) {
  return (double)(next_random(&t->random) % 1000000) / 1e6;
}

static void victim_stop(struct torture *t, struct seat *s) {
  kill(s->pid, SIGSTOP);
  test_sleep(chance(t) < 0.05 ? 0.06 : chance(t) * KILL_EVERY);
  t->sum.stops++;
}

static void victim_kill(struct torture *t, uint32_t i) {
  struct seat *s = &t->j->seat[i];
  int status;
  kill(s->pid, SIGKILL);
  if (chance(t) < 0.2) test_sleep(0.001); /* a zombie is dead too */
  CHECK_EQ(waitpid(s->pid, &status, 0), s->pid);
  seat_empty(t, s, status);
  seat_fill(t, i);
}

/* Survivors that do not get on. */
static void survivors_watch(struct torture *t) {
  for (uint32_t i = 0; i < SURVIVORS; i++) {
    struct seat *s = &t->j->seat[i];
    if (s->beats != s->seen) s->changed = test_now();
    s->seen = s->beats;
    if (test_now() - s->changed > STUCK)
      test_fail(__FILE__, __LINE__, "seat %u is stuck in %s %u", i, operation_name[s->op],
                s->queue);
  }
}

static void strike(struct torture *t) {
  if (t->scarce && chance(t) < 0.7) hoard_fill(&t->hoard);
  test_sleep(chance(t) * KILL_EVERY);
  uint32_t i = (uint32_t)(next_random(&t->random) % t->seats);
  bool stop = i < SURVIVORS || chance(t) < 0.1;
  struct seat *s = &t->j->seat[i];
  if (stop) victim_stop(t, s);
  if (i < SURVIVORS || (stop && chance(t) < 0.9))
    kill(s->pid, SIGCONT);
  else
    victim_kill(t, i);
  seats_reap(t, true);
  survivors_watch(t);
}

/* ---- the judge ---- */

static void check_arena(struct torture *t) {
  const char *wrong = mp_check_arena(t->c);
  if (wrong != NULL) test_fail(__FILE__, __LINE__, "%s", wrong);
}

static bool at_rest(struct torture *t, uint32_t *who) {
  for (uint32_t i = 0; i < t->seats; i++) {
    *who = i;
    if (t->j->seat[i].op == OP_REST) continue;
    kill(t->j->seat[i].pid, SIGUSR1); /* whoever waits looks whether to go on */
    return false;
  }
  return true;
}

/* What everybody has given back is there. */
static void units_judge(struct torture *t) {
  uint64_t sum = 0;
  mp_number n;
  CHECK_EQ(mp_semaphore_value(t->o.bounded), UNITS);
  if (mp_semaphore_value(t->o.undo) != UNITS)
    test_fail(__FILE__, __LINE__, "the units of the semaphore with undo: %u, not %u",
              mp_semaphore_value(t->o.undo), UNITS);
  for (int i = 0; i < LOCKS; i++) CHECK_EQ(mp_lock_locked(t->o.lock[i]), 0);
  CHECK_EQ(mp_lock_locked(t->o.rlock), 0);
  for (size_t i = 0; i < ELEMENTS; i++, sum += (uint64_t)n.i)
    CHECK_EQ(mp_array_get(t->o.array, i, &n), 0);
  uint64_t adds = t->sum.adds, taken = t->sum.taken, given = t->sum.given;
  for (uint32_t i = 0; i < t->seats; i++) {
    if (t->j->seat[i].pid == 0) continue;
    adds += t->j->seat[i].adds;
    taken += t->j->seat[i].taken;
    given += t->j->seat[i].given;
  }
  if (sum < adds || sum > adds + t->sum.open_adds)
    test_fail(__FILE__, __LINE__, "%ju additions of %ju to %ju", (uintmax_t)sum, (uintmax_t)adds,
              (uintmax_t)(adds + t->sum.open_adds));
  uint64_t units = mp_semaphore_value(t->o.plain), due = PLAIN_UNITS - taken + given;
  CHECK(units + t->sum.open_takes >= due && units <= due + t->sum.open_gives);
}

/* Besides the workers and us, nobody takes part any more: the children of the dead have ended. */
static bool orphans_ended(struct torture *t) {
  uint32_t high = w32_get(&mp_proctab(&t->c->arena)->high), live = 0;
  for (uint32_t i = 0; i < high; i++)
    live += !mp_slot_gone(t->c, mp_slot_tag(&t->c->arena, i));
  return live == t->seats + 1;
}

/* Everybody stops between two operations; then the state is judged, and they go on. */
static void rest_and_judge(struct torture *t) {
  uint32_t who = 0;
  t->j->rest = 1;
  hoard_empty(&t->hoard);
  for (double end = test_now() + STUCK; !at_rest(t, &who); test_sleep(0.0005)) {
    seats_reap(t, true);
    if (test_now() > end)
      test_fail(__FILE__, __LINE__, "seat %u is stuck in %s %u", who,
                operation_name[t->j->seat[who].op], t->j->seat[who].queue);
  }
  for (double end = test_now() + STUCK; !orphans_ended(t); test_sleep(0.0005))
    if (test_now() > end) test_fail(__FILE__, __LINE__, "a child of the dead is stuck");
  mp_context_tend(t->c, true);
  check_arena(t);
  units_judge(t);
  for (uint32_t i = 0; i < SURVIVORS; i++) t->j->seat[i].changed = test_now();
  t->j->rest = 0;
}

/* ---- the beginning and the end ---- */

static void objects_make(struct torture *t) {
  static const mp_queue_options options[QUEUES] = {
    {8, 0, MP_QUEUE_PLAIN}, {200, 0, MP_QUEUE_PLAIN}, {0, 200000, MP_QUEUE_PLAIN},
    {64, 0, MP_QUEUE_JOINABLE}, {0, 0, MP_QUEUE_PLAIN}};
  struct objects *o = &t->o;
  for (int i = 0; i < LOCKS; i++) CHECK_EQ(mp_lock_new(t->c, &o->lock[i]), 0);
  CHECK_EQ(mp_rlock_new(t->c, &o->rlock), 0);
  CHECK_EQ(mp_rlock_new(t->c, &o->condition_lock), 0);
  CHECK_EQ(mp_condition_new(t->c, o->condition_lock, &o->condition), 0);
  CHECK_EQ(mp_semaphore_new(t->c, &(mp_semaphore_options){UNITS, MP_SEMAPHORE_BOUNDED},
                            &o->bounded), 0);
  CHECK_EQ(mp_semaphore_new(t->c, &(mp_semaphore_options){UNITS, MP_SEMAPHORE_UNDO}, &o->undo), 0);
  CHECK_EQ(mp_semaphore_new(t->c, &(mp_semaphore_options){PLAIN_UNITS, 0}, &o->plain), 0);
  CHECK_EQ(mp_event_new(t->c, &o->event), 0);
  CHECK_EQ(mp_barrier_new(t->c, PARTIES, &o->barrier), 0);
  CHECK_EQ(mp_array_new(t->c, &(mp_array_options){.code = 'q', .count = ELEMENTS}, &o->array), 0);
  for (int i = 0; i < QUEUES; i++) CHECK_EQ(mp_queue_new(t->c, &options[i], &o->queue[i]), 0);
  t->hoard = hoard_new(t->c, MEMORY);
}

static void objects_close(struct torture *t) {
  struct objects *o = &t->o;
  for (int i = 0; i < LOCKS; i++) mp_lock_close(o->lock[i]);
  mp_condition_close(o->condition);
  mp_lock_close(o->condition_lock);
  mp_lock_close(o->rlock);
  mp_semaphore_close(o->bounded);
  mp_semaphore_close(o->undo);
  mp_semaphore_close(o->plain);
  mp_event_close(o->event);
  mp_barrier_close(o->barrier);
  mp_array_close(o->array);
  for (int i = 0; i < QUEUES; i++) mp_queue_close(o->queue[i]);
  mp_queue_close(t->hoard.queue);
}

static void nothing(int signal_number) {
  (void)signal_number;
}

static void torture_begin(struct torture *t) {
  struct mp_context_options o = {.memory = MEMORY, .space = 1 << 30};
  struct sigaction a = {.sa_handler = nothing};
  CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
  CHECK_EQ(mp_context_open(&o, &t->c), 0);
  CHECK_EQ(pipe(t->gone), 0);
  t->j = journal_new();
  t->random = t->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  t->seats = 3 * (uint32_t)mp_os_cpu_allowed() + SURVIVORS;
  if (t->seats > SEATS) t->seats = SEATS;
  objects_make(t);
  fflush(NULL);
  for (uint32_t i = 0; i < t->seats; i++) seat_fill(t, i);
}

/* All workers, and the children of the dead, end by themselves. */
static void workers_end(struct torture *t) {
  char c;
  t->j->ending = 1;
  double end = test_now() + STUCK;
  for (uint32_t i = 0; i < t->seats;) {
    struct seat *s = &t->j->seat[i];
    if (s->pid == 0) {
      i++;
      continue;
    }
    kill(s->pid, SIGUSR1);
    seats_reap(t, false);
    test_sleep(0.001);
    if (test_now() > end)
      test_fail(__FILE__, __LINE__, "seat %u does not end: %s %u", i, operation_name[s->op],
                s->queue);
  }
  close(t->gone[1]);
  CHECK_EQ(mp_os_wait_readable(t->gone[0], mp_in(STUCK)), 1);
  CHECK_EQ(read(t->gone[0], &c, 1), 0);
  close(t->gone[0]);
}

/* Takes what is left. */
static void queues_drain(struct torture *t) {
  static struct worker w;
  struct seat s = {0};
  w = (struct worker){.c = t->c, .o = &t->o, .j = t->j, .s = &s};
  mp_letter l;
  for (uint32_t q = 0; q < QUEUES; q++)
    while (mp_queue_get(t->o.queue[q], MP_NOW, &l) == 0) {
      message_take(&w, &l, q);
      message_read(&w, &l, q);
      mp_letter_free(t->c, &l);
      if (q == QUEUE_JOINABLE) CHECK_EQ(mp_queue_task_done(t->o.queue[q]), 0);
    }
  uint64_t lost = 0;
  mp_queue_state state;
  int r = mp_queue_join(t->o.queue[QUEUE_JOINABLE], MP_NOW, &lost);
  CHECK_EQ(r, lost > 0 ? MP_LOST : 0);
  mp_queue_look(t->o.queue[QUEUE_JOINABLE], &state);
  CHECK_EQ(state.unfinished, 0);
  if (lost < t->sum.held_low || lost > t->sum.held_high)
    test_fail(__FILE__, __LINE__, "%ju messages died unfinished: not %ju to %ju", (uintmax_t)lost,
              (uintmax_t)t->sum.held_low, (uintmax_t)t->sum.held_high);
}

/* What the list of our own handles takes, which goes when we go. */
static uint64_t own_list(const struct mp_context *c) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < c->handles->blocks; i++)
    sum += mp_heap_room(c, mp_ref_of(c, c->handles->block[i]));
  return sum;
}

static void memory_judge(struct torture *t) {
  uint32_t count[MP_KINDS];
  if (t->fault == FAULT_LEAK) {
    mp_lock *kept;
    CHECK_EQ(mp_lock_new(t->c, &kept), 0);
  }
  objects_close(t);
  mp_context_tend(t->c, true);
  mp_object_reap(t->c);
  mp_object_counts(t->c, count);
  for (int k = 0; k < MP_KINDS; k++)
    if (count[k] != 0) test_fail(__FILE__, __LINE__, "%u objects of kind %d are left", count[k], k);
  mp_heap_flush(t->c);
  check_arena(t);
  CHECK_EQ(mp_heap_usage(t->c).allocated, own_list(t->c));
}

static void torture_end(struct torture *t) {
  workers_end(t);
  mp_context_tend(t->c, true);
  check_arena(t);
  units_judge(t);
  queues_drain(t);
  messages_judge(t->j, &t->sum, t->lives);
  memory_judge(t);
  mp_context_close(t->c);
  munmap(t->j, sizeof *t->j);
}

static long number_from(const char *name, long otherwise) {
  const char *s = getenv(name);
  return s != NULL && atol(s) > 0 ? atol(s) : otherwise;
}

/* Until so many kills, or, if none are asked for, so many seconds. */
static void torture(double seconds, uint64_t kills, bool scarce, enum fault fault) {
  static struct torture t;
  t.fault = fault;
  t.scarce = scarce;
  t.seed = (uint64_t)number_from("SEED", 1);
  double begin = test_now();
  torture_begin(&t);
  while (kills > 0 ? t.sum.deaths < kills : test_now() - begin < seconds) {
    for (int i = 0; i < BURST && (kills > 0 || test_now() - begin < seconds); i++) strike(&t);
    rest_and_judge(&t);
  }
  uint64_t refused = t.j->refused;
  CHECK((refused > 0) == scarce);
  torture_end(&t);
  printf("torture: SEED=%ju: %ju kills, %ju stops, %ju lives, %ju operations, %ju without memory, "
         "in %.1f s\n", (uintmax_t)t.seed, (uintmax_t)t.sum.deaths, (uintmax_t)t.sum.stops,
         (uintmax_t)t.sum.lives, (uintmax_t)t.sum.operations, (uintmax_t)refused,
         test_now() - begin);
}

static void torture_as_told(bool scarce) {
  double seconds = (double)number_from("SECONDS", 10) / 2;
  torture(seconds, (uint64_t)number_from("KILLS", 0), scarce, FAULT_NONE);
}

LONG_TEST(nothing_is_lost_or_held_by_the_dead, 3600) {
  torture_as_told(false);
}

LONG_TEST(nor_where_memory_is_used_up, 3600) {
  torture_as_told(true);
}

/* ---- the judge finds what is wrong ---- */

#define FAULT_TEST(name, fault, complaint) \
  MUST_FAIL(name, 30, complaint) { torture(3, 0, false, fault); }

FAULT_TEST(a_message_that_is_dropped, FAULT_DROP, "messages were lost")
FAULT_TEST(a_message_that_comes_twice, FAULT_DOUBLE, "delivered twice")
FAULT_TEST(messages_in_another_order, FAULT_REORDER, "out of order")
FAULT_TEST(a_message_that_is_damaged, FAULT_BROKEN, "is not whole")
FAULT_TEST(a_section_without_its_lock, FAULT_NO_LOCK, "in one section at once")
FAULT_TEST(a_unit_too_many, FAULT_UNITS, "the units of the semaphore")
FAULT_TEST(an_addition_too_many, FAULT_ADD, "additions of")
FAULT_TEST(a_worker_that_is_stuck, FAULT_STUCK, "is stuck in lock")
FAULT_TEST(an_object_that_is_left, FAULT_LEAK, "objects of kind")
