/*
** What a torture's workers write down while they live, in memory that survives them, and what
** their judge makes of it.
**
** A *seat* is a place for one worker at a time; a *life* is one worker from fork to death. Before
** an operation the worker writes down what it is about to do, afterwards that it is through; so a
** death leaves at most one operation of which nobody can tell whether it was done. Every message
** has a mark of its own: intended, put, taken. A message that was put and never taken was lost; as
** many may be lost as consumers died inside a get, and not one more.
*/
#ifndef SPEC_CRASH_JOURNAL_H
#define SPEC_CRASH_JOURNAL_H

#include "../core/test.h"

#define SEATS 64
#define LIVES (1u << 18)
#define LIFE_MESSAGES 4096u /* a worker that has put so many ends, and is replaced */
#define QUEUES 5
#define QUEUE_JOINABLE 3

enum mark { MARK_INTENT = 1, MARK_PUT = 2, MARK_TAKEN = 4, MARK_QUEUE = 8 }; /* queue * 8 */

enum operation {
  OP_NONE, OP_PUT, OP_GET, OP_HOLD, OP_TASK_DONE, OP_POLL, OP_LOCK, OP_SEMAPHORE, OP_TAKE, OP_GIVE,
  OP_ADD, OP_EVENT, OP_CONDITION, OP_BARRIER, OP_OBJECT, OP_FORK, OP_TEND, OP_REST, OP_COUNT
};
__attribute__((unused)) static const char *const operation_name[OP_COUNT] = {
  "nothing", "put", "get", "hold", "task_done", "poll", "lock", "semaphore", "take", "give",
  "add", "event", "condition", "barrier", "object", "fork", "tend", "rest"};

struct seat { /* written by its worker; by the judge between two lives */
  volatile uint32_t life, op, queue, first, count;
  volatile uint64_t beats;            /* operations so far */
  volatile uint64_t adds, taken, given; /* of this life, certain */
  pid_t pid;                          /* the judge's own */
  uint64_t seen;                      /* the judge's own: beats, and when they last changed */
  double changed;
};

struct cell { /* what a lock protects */
  volatile uint32_t owner; /* 0: nobody */
  volatile uint64_t a, b;
};

struct life { /* written by the judge */
  pid_t pid;
  uint16_t first, count; /* messages whose put was open when it ended */
};

struct journal { /* shared by all */
  volatile int rest, ending;
  volatile uint64_t refused; /* calls, for want of memory */
  struct seat seat[SEATS];
  struct cell cell[4];
  volatile uint32_t inside[3]; /* who has a unit of the bounded semaphore */
  struct life life[LIVES];
  unsigned char mark[LIVES][LIFE_MESSAGES];
};

/* The judge's sums over all lives that have ended. */
struct sums {
  uint64_t lives, deaths, stops, operations;
  uint64_t adds, open_adds, taken, open_takes, given, open_gives;
  uint64_t open_gets[QUEUES], held_low, held_high; /* messages */
};

__attribute__((unused)) static struct journal *journal_new(void) {
  struct journal *j = mmap(NULL, sizeof *j, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(j != MAP_FAILED);
  return j;
}

/* ---- the worker's part ---- */

/* The kernel keeps what was stored before a kill: the compiler alone must keep the order. */
#define JOURNAL_FENCE() __atomic_signal_fence(__ATOMIC_SEQ_CST)

__attribute__((unused)) static void seat_begin(struct seat *s, enum operation op, uint32_t queue,
                                               uint32_t first, uint32_t count) {
  s->queue = queue;
  s->first = first;
  s->count = count;
  JOURNAL_FENCE();
  s->op = op;
  JOURNAL_FENCE();
}

__attribute__((unused)) static void seat_end(struct seat *s) {
  JOURNAL_FENCE();
  s->op = OP_NONE;
  s->beats++;
}

static unsigned mark_set(struct journal *j, uint32_t life, uint32_t seq, unsigned bits) {
  return __atomic_fetch_or(&j->mark[life][seq], (unsigned char)bits, __ATOMIC_SEQ_CST);
}

__attribute__((unused)) static void mark_intend(struct journal *j, uint32_t life, uint32_t seq,
                                                unsigned queue) {
  (void)mark_set(j, life, seq, MARK_INTENT | queue * MARK_QUEUE);
}

/* It was not put after all: its number is used again. */
__attribute__((unused)) static void mark_clear(struct journal *j, uint32_t life, uint32_t seq) {
  unsigned was = __atomic_exchange_n(&j->mark[life][seq], 0, __ATOMIC_SEQ_CST);
  if (was & MARK_TAKEN) test_fail(__FILE__, __LINE__, "a message was refused and delivered");
}

__attribute__((unused)) static void mark_take(struct journal *j, uint32_t life, uint32_t seq,
                                              unsigned queue) {
  unsigned was = mark_set(j, life, seq, MARK_TAKEN);
  if (was & MARK_TAKEN) test_fail(__FILE__, __LINE__, "a message was delivered twice");
  if (!(was & MARK_INTENT)) test_fail(__FILE__, __LINE__, "a message that nobody put");
  if (was / MARK_QUEUE != queue) test_fail(__FILE__, __LINE__, "a message came by another queue");
}

/* ---- the judge's part ---- */

/* A life is over: its open operation goes into the account. */
__attribute__((unused)) static void seat_settle(struct journal *j, struct seat *s,
                                                struct sums *sum) {
  uint32_t op = s->op, n = s->count;
  struct life *l = &j->life[s->life];
  if (op == OP_PUT) *l = (struct life){l->pid, (uint16_t)s->first, (uint16_t)n};
  if (op == OP_GET) sum->open_gets[s->queue] += n;
  if (op == OP_GET && s->queue == QUEUE_JOINABLE) sum->held_high += n;
  if (op == OP_HOLD || op == OP_TASK_DONE) sum->held_high += n;
  if (op == OP_HOLD) sum->held_low += n;
  if (op == OP_TASK_DONE) sum->held_low += n - 1;
  sum->open_adds += op == OP_ADD;
  sum->open_takes += op == OP_TAKE;
  sum->open_gives += op == OP_GIVE;
  sum->adds += s->adds;
  sum->taken += s->taken;
  sum->given += s->given;
  sum->operations += s->beats;
  sum->lives++;
}

/* Looks at each message of a life; those that were put and not taken are counted. */
static void life_judge(const struct journal *j, uint32_t life, uint64_t *lost, uint64_t *put) {
  const struct life *l = &j->life[life];
  for (uint32_t seq = 0; seq < LIFE_MESSAGES; seq++) {
    unsigned m = j->mark[life][seq];
    bool open = seq >= l->first && seq < (uint32_t)l->first + l->count;
    if (m == 0) continue;
    if (m & MARK_PUT) ++*put;
    if (!(m & (MARK_PUT | MARK_TAKEN)) && !open)
      test_fail(__FILE__, __LINE__, "life %u: message %u was neither put nor refused", life, seq);
    if ((m & MARK_PUT) && !(m & MARK_TAKEN)) lost[m / MARK_QUEUE]++;
  }
}

__attribute__((unused)) static void messages_judge(const struct journal *j, const struct sums *sum,
                                                   uint32_t lives) {
  uint64_t lost[32] = {0}, put = 0, all = 0;
  for (uint32_t i = 1; i <= lives; i++) life_judge(j, i, lost, &put);
  for (int q = 0; q < QUEUES; q++) {
    if (lost[q] > sum->open_gets[q])
      test_fail(__FILE__, __LINE__, "queue %d: %ju messages were lost, by %ju open gets", q,
                (uintmax_t)lost[q], (uintmax_t)sum->open_gets[q]);
    all += lost[q];
  }
  printf("torture: %ju messages put, %ju taken by somebody who died at once\n", (uintmax_t)put,
         (uintmax_t)all);
}

#endif
