/* Children that die before they take part. */
#include <pthread.h>

#include "sync.h"

static bool stillborn;

static void die_young(void) {
  if (stillborn) raise(SIGKILL);
}

TEST(a_child_that_dies_at_birth_leaves_no_slot) {
  int pid;
  CHECK_EQ(pthread_atfork(NULL, NULL, die_young), 0); /* it runs before the library's own handler */
  struct mp_context *c = sync_context();
  mp_event *e;
  CHECK_EQ(mp_event_new(c, &e), 0);
  stillborn = true;
  CHECK(!sync_fork(c, &pid));
  stillborn = false;
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  mp_context_tend(c, true);
  for (uint32_t i = 0; i < w32_get(&mp_proctab(&c->arena)->high); i++)
    CHECK(i == mp_tag_index(c->tag) || w64_get(&mp_slot_at(&c->arena, i)->who) == 0);
  CHECK_EQ(w32_get(&e->object->holders), 1);
  mp_event_close(e);
  sync_check(c);
  mp_context_close(c);
}
