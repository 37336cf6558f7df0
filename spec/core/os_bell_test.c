/* Doorbells: a ring is heard, whatever became of earlier ones, and never waits. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>

#include "../../src/core/clock.h"
#include "../../src/core/os.h"

static int readable(int fd) {
  struct pollfd p = { .fd = fd, .events = POLLIN };
  int r = mp_os_poll(&p, 1, MP_NOW);
  CHECK(r >= 0);
  return r;
}

TEST(a_ring_is_heard_until_drained) {
  int bell, sender;
  uint64_t name = 0;
  CHECK_EQ(mp_os_bell_create(&bell, &name), 0);
  CHECK_EQ(mp_os_bell_sender(&sender), 0);
  CHECK(name != 0);
  CHECK(fcntl(bell, F_GETFL) & O_NONBLOCK);
  CHECK_EQ(readable(bell), 0);
  CHECK_EQ(mp_os_bell_drain(bell), 0);
  CHECK_EQ(mp_os_bell_ring(sender, name), 0);
  CHECK_EQ(mp_os_bell_ring(bell, name), 0);   /* a bell rings as well, even itself */
  CHECK_EQ(readable(bell), 1);
  CHECK_EQ(mp_os_bell_drain(bell), 2);
  CHECK_EQ(readable(bell), 0);
  mp_os_close(sender);
  mp_os_close(bell);
}

TEST(bells_have_names_of_their_own) {
  int a, b;
  uint64_t name_a, name_b;
  CHECK_EQ(mp_os_bell_create(&a, &name_a), 0);
  CHECK_EQ(mp_os_bell_create(&b, &name_b), 0);
  CHECK(name_a != name_b);
  CHECK_EQ(mp_os_bell_ring(a, name_b), 0);
  CHECK_EQ(readable(a), 0);
  CHECK_EQ(readable(b), 1);
  mp_os_close(a);
  mp_os_close(b);
}

TEST(another_process_rings) {
  int bell;
  uint64_t name;
  CHECK_EQ(mp_os_bell_create(&bell, &name), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int sender;
    _exit(mp_os_bell_sender(&sender) == 0 && mp_os_bell_ring(sender, name) == 0 ? 0 : 1);
  }
  struct pollfd p = { .fd = bell, .events = POLLIN };
  CHECK_EQ(mp_os_poll(&p, 1, mp_in(5 * test_slow())), 1);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);   /* and its end has not taken the ring back */
  CHECK_EQ(mp_os_bell_drain(bell), 1);
  mp_os_close(bell);
}

TEST(nothing_is_owed_to_the_gone_or_the_full) {
  int bell, sender;
  uint64_t name;
  CHECK_EQ(mp_os_bell_create(&bell, &name), 0);
  CHECK_EQ(mp_os_bell_sender(&sender), 0);
  for (int i = 0; i < 1000; i++) CHECK_EQ(mp_os_bell_ring(sender, name), 0);
  CHECK(mp_os_bell_drain(bell) < 1000);   /* it was full, and nobody waited */
  CHECK_EQ(readable(bell), 0);
  mp_os_close(bell);
  CHECK_EQ(mp_os_bell_ring(sender, name), 0);
  mp_os_close(sender);
}

#define DEAF 400

/* The kernel charges rings that nobody hears to the sender. */
TEST(deaf_bells_do_not_use_up_the_sender) {
  static int deaf[DEAF];
  int sender, bell;
  uint64_t name;
  CHECK_EQ(mp_os_bell_sender(&sender), 0);
  for (int i = 0; i < DEAF; i++) {
    CHECK_EQ(mp_os_bell_create(&deaf[i], &name), 0);
    CHECK_EQ(mp_os_bell_ring(sender, name), 0);
    CHECK_EQ(readable(deaf[i]), 1);
  }
  for (int j = 0; j < 20; j++) CHECK_EQ(mp_os_bell_ring(sender, name), 0);
  CHECK_EQ(mp_os_bell_create(&bell, &name), 0);
  CHECK_EQ(mp_os_bell_ring(sender, name), 0);
  CHECK_EQ(readable(bell), 1);
  for (int i = 0; i < DEAF; i++) mp_os_close(deaf[i]);
  mp_os_close(bell);
  mp_os_close(sender);
}

TEST(one_descriptor_stands_for_a_bell_and_a_timer) {
  int epoll, bell, timer;
  uint64_t name;
  CHECK_EQ(mp_os_epoll(&epoll), 0);
  CHECK_EQ(mp_os_bell_create(&bell, &name), 0);
  CHECK_EQ(mp_os_timerfd(&timer), 0);
  CHECK_EQ(mp_os_epoll_add(epoll, bell), 0);
  CHECK_EQ(mp_os_epoll_add(epoll, timer), 0);
  CHECK_EQ(readable(epoll), 0);
  CHECK_EQ(mp_os_bell_ring(bell, name), 0);
  CHECK_EQ(readable(epoll), 1);
  CHECK_EQ(mp_os_bell_drain(bell), 1);
  CHECK_EQ(readable(epoll), 0);
  CHECK_EQ(mp_os_timer_every(timer, 1000000), 0);
  struct pollfd p = { .fd = epoll, .events = POLLIN };
  CHECK_EQ(mp_os_poll(&p, 1, mp_in(5 * test_slow())), 1);
  CHECK_EQ(mp_os_epoll_remove(epoll, timer), 0);
  CHECK_EQ(readable(epoll), 0);
  CHECK_EQ(mp_os_epoll_add(epoll, bell), -EEXIST);
  mp_os_close(timer);
  mp_os_close(bell);
  mp_os_close(epoll);
}
