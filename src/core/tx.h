/*
** Transactions: several words of shared memory change together or not at all, whoever dies.
**
** Under one internal mutex, each word is written through mp_tx_set32 or mp_tx_set64, which
** first notes the old value in the participant's slot. mp_tx_commit is one store that empties
** the log; dying before it undoes everything (whoever takes the mutex over applies the log
** backwards, mp_tx_undo), dying after it undoes nothing. Applying a log twice gives the same
** memory as once, so the one who undoes may die too. The order that matters is: entry, count,
** data; a kill loses no store that has retired, so a compiler fence is all it takes
** (design: undo logs as in PMDK's libpmemobj, without their flushes).
**
** Words that others read without the mutex must never show a change that may be taken back. For
** these the log serves the other way round: mp_tx_plan32 and mp_tx_plan64 note new values,
** mp_tx_carry_out makes them a fact with one store, the log's count, and then stores them. Dying
** before that store changes nothing; dying after it, whoever takes the mutex over carries out the
** rest, by the very loop that undoes. One section either sets or plans.
*/
#ifndef MP_TX_H
#define MP_TX_H

#include "proctab.h"

static inline void mp_tx_note(struct mp_context *c, uint64_t where, uint64_t old) {
  MP_ASSERT(c->locked && c->log_count < MP_LOG_MAX);
  struct mp_log_entry *e = &c->slot->log[c->log_count];
  w64_put(&e->where, where);
  w64_put(&e->old, old);
  mp_compiler_fence();
  w32_put(&c->slot->log_count, ++c->log_count);
  mp_compiler_fence();
}

static inline void mp_tx_set32(struct mp_context *c, mp_w32 *word, uint32_t value) {
  mp_tx_note(c, mp_offset_of(c, word) << 1, w32_get(word));
  w32_put(word, value);
}

static inline void mp_tx_set64(struct mp_context *c, mp_w64 *word, uint64_t value) {
  mp_tx_note(c, mp_offset_of(c, word) << 1 | 1, w64_get(word));
  w64_put(word, value);
}

/* The one store that makes it all true. */
static inline void mp_tx_commit(struct mp_context *c) {
  mp_compiler_fence();
  c->log_count = 0;
  w32_put(&c->slot->log_count, 0);
  mp_compiler_fence();
}

/* Undoes the change in hand of `slot`: our own, or a dead participant's that we clean. */
static inline void mp_tx_undo(struct mp_context *c, struct mp_slot *slot) {
  for (uint32_t n = w32_get_acquire(&slot->log_count); n > 0; n--) {
    const struct mp_log_entry *e = &slot->log[n - 1];
    uint64_t where = w64_get(&e->where);
    void *word = c->arena.base + (where >> 1);
    if (where & 1)
      w64_put((mp_w64 *)word, w64_get(&e->old));
    else
      w32_put((mp_w32 *)word, (uint32_t)w64_get(&e->old));
  }
  mp_compiler_fence();
  w32_put(&slot->log_count, 0);
  if (slot == c->slot) c->log_count = 0;
}

/* Notes what a word is to become. Nobody sees it before mp_tx_carry_out. */
static inline void mp_tx_plan(struct mp_context *c, uint64_t where, uint64_t value) {
  MP_ASSERT(c->locked && c->log_count < MP_LOG_MAX && w32_get(&c->slot->log_count) == 0);
  struct mp_log_entry *e = &c->slot->log[c->log_count++];
  w64_put(&e->where, where);
  w64_put(&e->old, value);
}

static inline void mp_tx_plan32(struct mp_context *c, mp_w32 *word, uint32_t value) {
  mp_tx_plan(c, mp_offset_of(c, word) << 1, value);
}

static inline void mp_tx_plan64(struct mp_context *c, mp_w64 *word, uint64_t value) {
  mp_tx_plan(c, mp_offset_of(c, word) << 1 | 1, value);
}

/* The one store that makes the plan a fact, and the stores of the plan, the last one first. */
static inline void mp_tx_carry_out(struct mp_context *c) {
  mp_compiler_fence();
  w32_put(&c->slot->log_count, c->log_count);
  mp_compiler_fence();
  mp_tx_undo(c, c->slot);
}

#endif
