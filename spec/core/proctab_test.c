/* The process table: claims, names for lives, reserved slots, and the full table. */
#include "../../src/core/context.h"
#include "test.h"

static struct mp_context *open_context(void) {
  struct mp_context *c;
  struct mp_context_options o = {.memory = 64 << 20, .space = 256 << 20};
  CHECK_EQ(mp_context_open(&o, &c), 0);
  return c;
}

static void check(struct mp_context *c) {
  const char *wrong = mp_check_arena(c);
  CHECK_STR(wrong == NULL ? "" : wrong, "");
}

TEST(a_tag_names_one_life) {
  struct mp_context *a = open_context(), *b = open_context();
  uint32_t tag = b->tag, index = mp_tag_index(tag);
  CHECK(!mp_slot_gone(a, tag));
  mp_context_close(b);
  CHECK(mp_slot_gone(a, tag));
  b = open_context();
  CHECK_EQ(mp_tag_index(b->tag), index); /* the slot is used again */
  CHECK(b->tag != tag && mp_slot_gone(a, tag) && !mp_slot_gone(a, b->tag));
  check(a);
  mp_context_close(b);
  mp_context_close(a);
}

TEST(generations_wrap) {
  struct mp_context *a = open_context(), *b = open_context();
  struct mp_slot *s = mp_slot_at(&a->arena, mp_tag_index(b->tag));
  mp_context_close(b);
  w32_put(&s->life, MP_GENERATION_MASK);
  b = open_context();
  CHECK_EQ(b->slot == s, 1);
  CHECK(!mp_slot_gone(a, b->tag));
  uint32_t tag = b->tag;
  mp_context_close(b);
  CHECK_EQ(w32_get(&s->life), 0);
  CHECK(mp_slot_gone(a, tag));
  check(a);
  mp_context_close(a);
}

TEST(a_full_table_is_an_error_and_not_the_end) {
  struct mp_context *a = open_context();
  uint32_t index, taken = 0;
  while (mp_slot_reserve(a, &index) == 0) taken++;
  CHECK_EQ(taken, MP_PARTICIPANTS - 1);
  CHECK_EQ(mp_slot_reserve(a, &index), -EUSERS);
  mp_slot_abandon(a, 7);
  w32_put(&mp_slot_at(&a->arena, 7)->parent, 0);
  mp_context_tend(a, true);
  CHECK_EQ(mp_slot_reserve(a, &index), 0);
  CHECK_EQ(index, 7);
  mp_context_close(a);
}

/* All that the table has room for, the last one dead or not. */
static struct mp_context *fill_table(bool dead) {
  struct mp_context *c = open_context();
  uint32_t index, last = 0;
  while (mp_slot_reserve(c, &index) == 0) last = index;
  if (dead) {
    w32_put(&mp_slot_at(&c->arena, last)->parent, 0);
    mp_slot_abandon(c, last);
  }
  return c;
}

TEST(a_newcomer_to_a_full_table_cleans_the_dead_first) {
  struct mp_context *a = fill_table(true), *b, *none;
  struct mp_context_options o = {0};
  CHECK_EQ(mp_context_open(&o, &b), 0);
  CHECK_EQ(mp_context_open(&o, &none), -EUSERS);
  check(b);
  mp_context_close(b);
  CHECK_EQ(mp_context_open(&o, &b), 0); /* what it cleaned with is whole */
  mp_context_close(b);
  mp_context_close(a);
}

TEST(a_newcomer_to_a_table_full_of_the_living_is_refused) {
  struct mp_context *a = fill_table(false), *none;
  struct mp_context_options o = {0};
  for (int i = 0; i < 3; i++) CHECK_EQ(mp_context_open(&o, &none), -EUSERS);
  check(a);
  mp_context_close(a);
}

TEST(a_claimer_that_died_is_found) {
  struct mp_context *a = open_context();
  int pid;
  uint32_t tag;
  CHECK_EQ(mp_context_fork(a, false, &pid, &tag), 0);
  if (pid == 0) { /* claims one more slot and dies with both */
    uint32_t index;
    CHECK_EQ(mp_slot_reserve(a, &index), 0);
    _exit(0);
  }
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  CHECK(mp_slot_gone(a, tag));
  mp_context_tend(a, true);
  for (uint32_t i = 1; i < w32_get(&mp_proctab(&a->arena)->high); i++)
    CHECK_EQ(w64_get(&mp_slot_at(&a->arena, i)->who), 0);
  check(a);
  mp_context_close(a);
}

TEST(a_zombie_is_dead) {
  struct mp_context *a = open_context();
  int pid;
  uint32_t tag;
  siginfo_t info;
  CHECK_EQ(mp_context_fork(a, false, &pid, &tag), 0);
  if (pid == 0) _exit(0);
  CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
  CHECK(mp_slot_gone(a, tag));
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  mp_context_close(a);
}

TEST(what_exec_became_is_alive) {
  struct mp_context *a = open_context();
  int pid;
  uint32_t tag;
  CHECK_EQ(mp_context_fork(a, false, &pid, &tag), 0);
  if (pid == 0) {
    execl("/bin/sleep", "sleep", "60", (char *)NULL);
    _exit(1);
  }
  test_sleep(0.1);
  CHECK(!mp_slot_gone(a, tag));
  kill(pid, SIGKILL);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  CHECK(mp_slot_gone(a, tag));
  mp_context_close(a);
}

TEST(a_stranger_s_fork_takes_part) {
  struct mp_context *a = open_context();
  pid_t pid = fork(); /* not ours: the handlers see to it */
  if (pid == 0) _exit(mp_context_valid(a) && a->slot != NULL ? 0 : 1);
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  mp_context_tend(a, true);
  check(a);
  mp_context_close(a);
}

#include <sched.h>
#include <sys/syscall.h>

TEST(a_raw_clone_does_not) {
  struct mp_context *a = open_context();
  long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) _exit(mp_context_valid(a) ? 1 : 0);
  int status;
  CHECK(waitpid((pid_t)pid, &status, 0) == pid && status == 0);
  CHECK(mp_context_valid(a));
  mp_context_close(a);
}
