/* The process table, and whoever dies while it claims a slot, gives one up, or reserves one. */
#include "crash.h"

/* Private, and put back with everything else: a participant in the making. */
static struct mp_context newcomer;

/* A claimer that died is known by its process; here that is ours, so its slot is marked as dead. */
static void find_dead(struct crash_world *w) {
  uint32_t high = w32_get(&mp_proctab(&w->other->arena)->high);
  for (uint32_t i = 0; i < high; i++) {
    const struct mp_slot *s = mp_slot_at(&w->other->arena, i);
    if (s != w->other->slot && s != w->extra->slot) mp_slot_abandon(w->other, i);
  }
}

static void prepare(struct crash_world *w) {
  w->meanwhile = find_dead;
}

static void prepare_free_slot(struct crash_world *w) {
  struct mp_context *before = crash_context();
  mp_context_close(before);
  prepare(w);
}

static int claim_and_resign(struct crash_world *w, struct mp_context *c) {
  uint32_t index;
  (void)w;
  newcomer = (struct mp_context){.arena = c->arena, .pid = c->pid};
  int r = mp_slot_claim(&newcomer, &index);
  if (r == 0) mp_slot_resign(&newcomer);
  return r;
}

/* What a fork does that fails after all. */
static int reserve_and_bury(struct crash_world *w, struct mp_context *c) {
  uint32_t index;
  (void)w;
  int r = mp_slot_reserve(c, &index);
  if (r != 0) return r;
  uint32_t tag = mp_slot_tag(&c->arena, index);
  w32_put(&mp_slot_at(&c->arena, index)->parent, 0);
  mp_slot_abandon(c, index);
  CHECK(mp_context_bury(c, tag));
  return 0;
}

/* The slot's new process is there before its parent has said so. */
static int reserve_and_adopt(struct crash_world *w, struct mp_context *c) {
  uint32_t index;
  (void)w;
  int r = mp_slot_reserve(c, &index);
  if (r != 0) return r;
  newcomer = (struct mp_context){.arena = c->arena, .pid = c->pid};
  CHECK_EQ(mp_slot_adopt(&newcomer, index), 0);
  mp_slot_note_start(&newcomer, index, c->pid);
  mp_slot_resign(&newcomer);
  return 0;
}

/* Two participants are left, and the table works. */
static void judge(struct crash_world *w, bool done) {
  uint32_t high = w32_get(&mp_proctab(&w->other->arena)->high), n = 0;
  (void)done;
  for (uint32_t i = 0; i < high; i++) n += w64_get(&mp_slot_at(&w->other->arena, i)->who) != 0;
  CHECK_EQ(n, 2);
  CHECK(high <= 5 || high == MP_SLOTS);
  mp_context_close(crash_context());
}

/* The slot that is lent to newcomers. */
static int claim_last_and_resign(struct crash_world *w, struct mp_context *c) {
  (void)w;
  newcomer = (struct mp_context){.arena = c->arena, .pid = c->pid};
  int r = mp_slot_claim_last(&newcomer);
  if (r == 0) mp_slot_resign(&newcomer);
  return r;
}

#define CRASH_TEST(name, before, operation, what)                               \
  LONG_TEST(name, 120) {                                                        \
    crash_enumerate(&(struct crash_case){what, before, operation, judge});      \
  }

CRASH_TEST(a_death_in_claim, prepare, claim_and_resign, "slot claim, resign")
CRASH_TEST(a_death_in_claim_of_a_used_one, prepare_free_slot, claim_and_resign,
           "slot claim again, resign")
CRASH_TEST(a_death_in_reserve, prepare, reserve_and_bury, "slot reserve, bury")
CRASH_TEST(a_death_in_adopt, prepare, reserve_and_adopt, "slot reserve, adopt, resign")
CRASH_TEST(a_death_in_claim_of_the_last, prepare, claim_last_and_resign,
           "slot claim the last, resign")
