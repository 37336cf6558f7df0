/*
** The process table: a fixed array of slots, claimed and given up by single words.
**
** Structure: struct mp_proctab {high, deaths}, then MP_SLOTS slots; memory is committed when a
** slot is first used. Lock: none. `who` changes by compare-and-swap alone and carries the
** process with the state, so a claimer that dies right after it claimed is known; the rest of a
** slot belongs to its participant while it lives, and to the one named in `cleaner` afterwards. The
** last slot is lent: to a newcomer who finds the table full, and cleans up from there before it is
** told so.
** Invariant: a free slot (who = 0) owns nothing: no block, no logged change, no handle.
** Death: at any point of claim, adoption or clean-up the slot is left with a dead `who` or a
** dead `cleaner`, and the next one who looks (mp_slot_take_over) goes on from there.
*/
#include "proctab.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "os.h"

/* In mp_slot.who: the pid, or a reserved slot's maker's tag. */
#define WHO_PROCESS UINT64_C(0xffffffff)
#define WHO_LIFE_SHIFT 32 /* the slot's life there, so that no two lives look alike */
#define WHO_STATE (UINT64_C(3) << 62)
#define LAST (MP_SLOTS - 1)              /* the slot that is lent */
#define LAST_NAP INT64_C(20000000)       /* ns; then the borrower may be dead */

size_t mp_proctab_bytes(void) {
  return MP_CACHE_LINE + (size_t)MP_SLOTS * sizeof(struct mp_slot);
}

static uint64_t who_with_state(uint64_t who, enum mp_slot_state state) {
  return (who & ~WHO_STATE) | (uint64_t)state << 62;
}

static uint64_t who_is(uint32_t process, uint32_t life, enum mp_slot_state state) {
  return who_with_state(process | (uint64_t)life << WHO_LIFE_SHIFT, state);
}

/* What becomes of `who` when it is dead. The process of a reserved slot never was. */
static uint64_t who_dead(uint64_t who) {
  if (mp_slot_state_of(who) == MP_SLOT_RESERVED) who &= ~WHO_PROCESS;
  return who_with_state(who, MP_SLOT_DEAD);
}

int mp_proctab_init(const struct mp_arena *a) {
  return mp_arena_commit(a, mp_proctab(a), sizeof(struct mp_proctab));
}

static void slot_raise_high(struct mp_proctab *t, uint32_t high) {
  uint32_t seen = w32_get(&t->high);
  while (seen < high && !w32_cas(&t->high, &seen, high)) {}
}

void mp_slot_note_start(struct mp_context *c, uint32_t index, int32_t pid) {
  uint64_t start = 0;
  (void)mp_os_start_of(pid, &start); /* unknown: a reused pid would not be told apart */
  w64_put(&mp_slot_at(&c->arena, index)->start, start);
}

/* Claims slot `index` if it is free. What its last life left in the first line goes. A reserved
** slot says from its first moment on who made it, and with that whether it is alive. */
static bool slot_try(struct mp_context *c, uint32_t index, enum mp_slot_state state) {
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  uint64_t nobody = 0;
  if (w64_get(&s->who) != 0) return false;
  uint32_t process = state == MP_SLOT_RESERVED ? c->tag : (uint32_t)c->pid;
  if (!w64_cas(&s->who, &nobody, who_is(process, w32_get_acquire(&s->life), state))) return false;
  /* A cleaner that died right after it had freed the slot is still named: were we, in this slot, to
  ** clean that one up and die, each would be said to be the other's cleaner. */
  w32_put(&s->cleaner, 0);
  if (state == MP_SLOT_LIVE) mp_slot_note_start(c, index, c->pid);
  w32_put(&s->parent, state == MP_SLOT_RESERVED ? c->tag : 0);
  w32_put(&s->ended, 0);
  w64_put(&s->waits, 0); /* a sleeper that was killed left it */
  return true;
}

static int slot_claim(struct mp_context *c, enum mp_slot_state state, uint32_t *index) {
  struct mp_proctab *t = mp_proctab(&c->arena);
  uint32_t high = w32_get(&t->high);
  for (uint32_t i = 0; i < high && i < MP_PARTICIPANTS; i++) {
    if (slot_try(c, i, state)) {
      *index = i;
      return 0;
    }
  }
  for (uint32_t i = high; i < MP_PARTICIPANTS; i++) {
    int r = mp_arena_commit(&c->arena, mp_slot_at(&c->arena, i), sizeof(struct mp_slot));
    if (r != 0) return r;
    slot_raise_high(t, i + 1);
    if (slot_try(c, i, state)) {
      *index = i;
      return 0;
    }
  }
  return -EUSERS;
}

static void slot_take(struct mp_context *c, uint32_t index) {
  c->slot = mp_slot_at(&c->arena, index);
  c->tag = mp_slot_tag(&c->arena, index);
  c->log_count = 0;
  c->pending = c->doomed = c->releasing = 0;
  c->locked = false;
}

int mp_slot_claim(struct mp_context *c, uint32_t *index) {
  int r = slot_claim(c, MP_SLOT_LIVE, index);
  if (r == 0) slot_take(c, *index);
  return r;
}

static bool slot_gone(struct mp_context *c, const struct mp_slot *s, uint64_t who) {
  int32_t pid = (int32_t)(who & WHO_PROCESS);
  switch (mp_slot_state_of(who)) {
    case MP_SLOT_LIVE:
      return pid != c->pid && mp_os_process_gone(pid, w64_get(&s->start)) == 1;
    case MP_SLOT_RESERVED: /* as alive as the one that is about to fork */
      return mp_slot_gone(c, (uint32_t)(who & WHO_PROCESS));
    case MP_SLOT_FREE:
    case MP_SLOT_DEAD:
    default:
      return true;
  }
}

bool mp_slot_gone(struct mp_context *c, uint32_t tag) {
  uint32_t index = mp_tag_index(tag);
  if (tag == c->tag) return false;
  if (index >= MP_SLOTS || mp_slot_tag(&c->arena, index) != (tag & MP_TAG_MASK)) return true;
  const struct mp_slot *s = mp_slot_at(&c->arena, index);
  return slot_gone(c, s, w64_get_acquire(&s->who));
}

int mp_slot_claim_last(struct mp_context *c) {
  struct mp_slot *s = mp_slot_at(&c->arena, LAST);
  int r = mp_arena_commit(&c->arena, s, sizeof *s);
  if (r != 0) return r;
  slot_raise_high(mp_proctab(&c->arena), MP_SLOTS);
  for (;;) {
    uint32_t life = w32_get_acquire(&s->life);
    if (slot_try(c, LAST, MP_SLOT_LIVE)) break;
    uint64_t who = w64_get_acquire(&s->who);
    if (who != 0 && slot_gone(c, s, who)) return -EUSERS;
    (void)mp_os_futex_wait(&s->life.v_, life, mp_clock_now() + LAST_NAP); /* mp_slot_resign wakes */
  }
  slot_take(c, LAST);
  return 0;
}

int mp_slot_reserve(struct mp_context *c, uint32_t *index) {
  return slot_claim(c, MP_SLOT_RESERVED, index);
}

int mp_slot_adopt(struct mp_context *c, uint32_t index) {
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  c->pid = mp_os_pid();
  uint64_t who = w64_get(&s->who);
  uint64_t mine = who_is((uint32_t)c->pid, w32_get(&s->life), MP_SLOT_LIVE);
  while (who != mine) {
    if (mp_slot_state_of(who) != MP_SLOT_RESERVED) return MP_LOST;
    if (w64_cas(&s->who, &who, mine)) break; /* else its parent was faster, or it was given up */
  }
  slot_take(c, index);
  return 0;
}

void mp_slot_give(struct mp_context *c, uint32_t tag, int32_t pid) {
  struct mp_slot *s = mp_slot_at(&c->arena, mp_tag_index(tag));
  uint32_t life = tag >> MP_TAG_INDEX_BITS & MP_GENERATION_MASK, me = c->tag;
  uint64_t reserved = who_is(c->tag, life, MP_SLOT_RESERVED);
  if (!w64_cas(&s->who, &reserved, who_is((uint32_t)pid, life, MP_SLOT_LIVE))) return;
  /* nobody collects it; should we die before we say so, nobody waits for us to */
  (void)w32_cas(&s->parent, &me, 0);
}

static bool slot_bury(struct mp_slot *s, uint64_t who) {
  return w64_cas(&s->who, &who, who_dead(who));
}

void mp_slot_abandon(struct mp_context *c, uint32_t index) {
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  for (;;) {
    uint64_t who = w64_get(&s->who);
    enum mp_slot_state state = mp_slot_state_of(who);
    if ((state != MP_SLOT_LIVE && state != MP_SLOT_RESERVED) || slot_bury(s, who)) return;
  }
}

/* Puts our tag in `cleaner`, if it is free or names somebody who died and whose own change in
** hand, which may be in this very slot, is undone. */
static bool slot_claim_cleaning(struct mp_context *c, struct mp_slot *s) {
  uint32_t cleaner = w32_get_acquire(&s->cleaner);
  if (cleaner == c->tag) return true;
  if (cleaner != 0) {
    uint32_t index = mp_tag_index(cleaner);
    if (!mp_slot_gone(c, cleaner)) return false;
    if (mp_slot_tag(&c->arena, index) == cleaner &&
        w32_get_acquire(&mp_slot_at(&c->arena, index)->log_count) != 0)
      return false;
  }
  return w32_cas(&s->cleaner, &cleaner, c->tag);
}

bool mp_slot_take_over(struct mp_context *c, uint32_t index) {
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  uint64_t who = w64_get_acquire(&s->who);
  if (who == 0 || !slot_gone(c, s, who)) return false;
  if (mp_slot_state_of(who) != MP_SLOT_DEAD) {
    if (!slot_bury(s, who)) return false;
    who = who_dead(who);
    (void)w32_add(&mp_proctab(&c->arena)->deaths, 1);
  }
  uint32_t tag = mp_slot_tag(&c->arena, index);
  if (!slot_claim_cleaning(c, s)) return false;
  if (w64_get_acquire(&s->who) == who && mp_slot_tag(&c->arena, index) == tag) return true;
  mp_slot_leave(c, index); /* another cleaner had just finished */
  return false;
}

void mp_slot_leave(struct mp_context *c, uint32_t index) {
  uint32_t me = c->tag;
  (void)w32_cas(&mp_slot_at(&c->arena, index)->cleaner, &me, 0);
}

void mp_slot_free(struct mp_context *c, uint32_t index) {
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  MP_ASSERT(mp_slot_state_of(w64_get(&s->who)) == MP_SLOT_DEAD);
  /* dying between these two counts one life more than there was, which does no harm */
  w32_put(&s->life, (w32_get(&s->life) + 1) & MP_GENERATION_MASK);
  w32_put(&s->parent, 0);
  w64_put(&s->start, 0);
  w64_put(&s->who, 0);
  mp_slot_leave(c, index);
}

void mp_slot_resign(struct mp_context *c) {
  /* dying between these two leaves a slot that is empty and whose process is gone */
  w32_put(&c->slot->life, (w32_get(&c->slot->life) + 1) & MP_GENERATION_MASK);
  w32_put(&c->slot->parent, 0);
  w64_put(&c->slot->start, 0);
  w64_put(&c->slot->who, 0);
  if (c->slot == mp_slot_at(&c->arena, LAST)) (void)mp_os_futex_wake(&c->slot->life.v_, INT32_MAX);
}

static const char *slot_check_empty(const struct mp_slot *s) {
  if (w32_get(&s->log_count) != 0) return "process table: a free slot has a change in its log";
  if (w64_get(&s->start) != 0) return "process table: a free slot has a start time";
  if (w64_get(&s->want) != 0) return "process table: a free slot holds a mutex";
  if (w32_get(&s->more_handles) != 0) return "process table: a free slot has handles";
  if (w32_get(&s->bells) != 0) return "process table: a free slot has bells";
  for (uint32_t k = 0; k < MP_OWNED_MAX; k++)
    if (w64_get(&s->pending[k]) != 0 || w64_get(&s->doomed[k]) != 0)
      return "process table: a free slot owns a block";
  for (uint32_t k = 0; k < MP_SLOT_HANDLES; k++)
    if (w32_get(&s->handle[k].ref) != 0) return "process table: a free slot has a handle";
  for (uint32_t k = 0; k < MP_CLASSES; k++)
    if (w32_get(&s->magazine[k].count) != 0)
      return "process table: a free slot's magazine has blocks";
  return NULL;
}

const char *mp_proctab_check(const struct mp_context *c) {
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  if (high > MP_SLOTS) return "process table: more slots in use than there are";
  for (uint32_t i = 0; i < high; i++) {
    const struct mp_slot *s = mp_slot_at(&c->arena, i);
    enum mp_slot_state state = mp_slot_state_of(w64_get(&s->who));
    const char *wrong = state == MP_SLOT_FREE ? slot_check_empty(s) : NULL;
    if (wrong != NULL) return wrong;
    if (state == MP_SLOT_LIVE && w32_get(&s->log_count) != 0)
      return "process table: a change is in hand in a quiet moment";
  }
  return NULL;
}
