/*
 * The floors of pingpong: one integer to the worker and back.
 *
 *     pingpong socketpair | futex | spin | task
 *
 * socketpair: what a Pipe costs when each message is two system calls. futex: two words of shared
 * memory, and no look before sleeping. spin: the same two words, looked at for a while before sleeping.
 * task: the futex round trip again, as microseconds, the floor of pool_apply.
 */
#include "floor.h"

#include <string.h>
#include <sys/socket.h>

struct table {
  struct floor_gate gate;
  long rounds;
  long spins; /* looks at a word before sleeping on it */
  int fds[2];
  _Alignas(64) _Atomic uint32_t there;
  _Alignas(64) _Atomic uint32_t asleep_there;
  _Alignas(64) _Atomic uint32_t back;
  _Alignas(64) _Atomic uint32_t asleep_back;
};

static void hand_over(_Atomic uint32_t *word, _Atomic uint32_t *asleep, uint32_t value) {
  atomic_store(word, value);
  if (atomic_load(asleep))
    floor_wake(word, 1);
}

static void await(_Atomic uint32_t *word, _Atomic uint32_t *asleep, uint32_t value, long spins) {
  for (long i = 0; i < spins; i++) {
    if (atomic_load_explicit(word, memory_order_acquire) == value)
      return;
    __builtin_ia32_pause();
  }
  atomic_store(asleep, 1);
  for (uint32_t seen; (seen = atomic_load(word)) != value;)
    floor_sleep(word, seen);
  atomic_store(asleep, 0);
}

static void answer_words(void *shared) {
  struct table *t = shared;
  floor_arrive(&t->gate);
  for (uint32_t i = 1; i <= (uint32_t)t->rounds; i++) {
    await(&t->there, &t->asleep_there, i, t->spins);
    hand_over(&t->back, &t->asleep_back, i);
  }
}

static double over_words(long rounds, long spins) {
  struct table *t = floor_share(sizeof *t);
  t->rounds = rounds;
  t->spins = spins;
  floor_start(answer_words, t);
  double start = floor_open(&t->gate, 1);
  for (uint32_t i = 1; i <= (uint32_t)rounds; i++) {
    hand_over(&t->there, &t->asleep_there, i);
    await(&t->back, &t->asleep_back, i, spins);
  }
  double spent = floor_now() - start;
  floor_join(1);
  return (double)rounds / spent;
}

static void pass(int fd, uint64_t *value, int sending) {
  ssize_t n = sending ? write(fd, value, sizeof *value) : read(fd, value, sizeof *value);
  if (n != sizeof *value)
    floor_fail("socketpair");
}

static void answer_socket(void *shared) {
  struct table *t = shared;
  floor_arrive(&t->gate);
  for (long i = 0; i < t->rounds; i++) {
    uint64_t value;
    pass(t->fds[1], &value, 0);
    pass(t->fds[1], &value, 1);
  }
}

static double over_socketpair(long rounds) {
  struct table *t = floor_share(sizeof *t);
  t->rounds = rounds;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, t->fds) != 0)
    floor_fail("socketpair");
  floor_start(answer_socket, t);
  double start = floor_open(&t->gate, 1);
  for (long i = 0; i < rounds; i++) {
    uint64_t value = (uint64_t)i;
    pass(t->fds[0], &value, 1);
    pass(t->fds[0], &value, 0);
    if (value != (uint64_t)i)
      floor_fail("another number came back");
  }
  double spent = floor_now() - start;
  floor_join(1);
  return (double)rounds / spent;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "socketpair";
  if (strcmp(what, "socketpair") == 0) {
    floor_report("pingpong_pipe", over_socketpair(floor_amount(40000)));
  } else if (strcmp(what, "futex") == 0) {
    floor_report("pingpong_queues", over_words(floor_amount(40000), 0));
  } else if (strcmp(what, "spin") == 0) {
    floor_report("pingpong_queues", over_words(floor_amount(400000), 20000));
  } else if (strcmp(what, "task") == 0) {
    floor_report("pool_apply", 1e6 / over_words(floor_amount(40000), 0));
  } else {
    fprintf(stderr, "usage: pingpong socketpair|futex|spin|task\n");
    return 2;
  }
  return 0;
}
