/*
** The process table: who takes part in this session, who died, and what they held.
**
** A slot is one participant: a Lua state or a C context. One word, `who`, says in which process
** it lives and what state it is in, so that claiming a slot, saying who one is, adopting it and
** burying it are one compare-and-swap each. `start`, when it is known, tells a process from a later
** one with its pid. It keeps in shared memory all that somebody else needs to clean up after it:
** the undo log of the change in hand, the internal mutex it holds or wants, the blocks it owns, its
** handles. A participant is dead when its process is (by pidfd; zombies are dead) or when it
** left. A slot goes FREE -> LIVE -> DEAD -> FREE, or FREE -> RESERVED (for a child about to be
** forked, and as alive as its parent) -> LIVE; whoever cleans has put its tag in `cleaner`.
*/
#ifndef MP_PROCTAB_H
#define MP_PROCTAB_H

#include "arena.h"

#define MP_SLOTS 4095u
#define MP_PARTICIPANTS (MP_SLOTS - 1) /* the last slot is kept for mp_slot_claim_last */
#define MP_LOG_MAX 48u      /* words that one transaction may change */
#define MP_OWNED_MAX 8u     /* blocks that one operation may have reserved or doomed */
#define MP_CLASSES 40u      /* size classes of the heap */
#define MP_MAGAZINE_MAX 32u /* blocks that a magazine holds */
#ifdef MP_TEST
#define MP_SLOT_HANDLES 8u  /* few, so that a crash enumeration can go past them */
#else
#define MP_SLOT_HANDLES 32u /* handle entries in the slot itself; more in a chain of blocks */
#endif
#define MP_SLOT_NAME 32u

/* A tag names one life of a slot: index + 1 in bits 0..11, generation in bits 12..29. */
#define MP_TAG_INDEX_BITS 12u
#define MP_TAG_MASK UINT32_C(0x3fffffff)
#define MP_GENERATION_MASK UINT32_C(0x3ffff)

/* The state is bits 62..63 of mp_slot.who, the slot's life bits 32..49, the pid the lower ones (its
** maker's tag while it is reserved); a free slot's word is 0. So no two lives have the same word,
** even if a pid comes back. */
enum mp_slot_state { MP_SLOT_FREE, MP_SLOT_LIVE, MP_SLOT_DEAD, MP_SLOT_RESERVED };

/* shared; one change to undo: `where` is the byte offset of a word * 2, plus 1 for 64 bits */
struct mp_log_entry {
  mp_w64 where, old;
};

/* shared; one object that a participant has. `held` is the kind's own (object.h). */
struct mp_handle_entry {
  mp_w32 ref, held;
};

/* shared; ready blocks of one size class, touched by their owner alone while it lives */
struct mp_magazine {
  mp_w32 count;
  mp_w32 block[MP_MAGAZINE_MAX];
};

/* shared; two words to sleep on (park.h), and who is to be rung (bell.c) */
struct mp_park {
  mp_w32 seq, waiting;
  mp_w32 bells; /* first node; under registry.bells */
};

/* shared; written by its participant alone, and by its cleaner once it is dead, unless said */
struct mp_slot {
  mp_w64 who;      /* atomic; pid, life and state */
  mp_w64 start;    /* start time of that process, or 0: not known. Written by the participant, for a
                   ** tracked child by its parent, which keeps the slot; 0 in a free slot */
  mp_w32 life;     /* generation; changed by the cleaner of a dead slot only */
  mp_w32 cleaner;  /* atomic; tag of who cleans this slot, 0 for nobody */
  mp_w32 parent;   /* tag of the participant that forked this one, 0 for none */
  mp_w32 ended;    /* how its process ended (mp_slot_ended_word), or 0: nobody has said yet */
  mp_w64 want;     /* offset of the internal mutex that it holds or is about to take, or 0 */
  mp_w64 waits;    /* offset of the park it sleeps on, for mp_dump; 0: it runs */
  mp_w32 log_count;
  mp_w32 more_handles; /* first block of the chain of further handle entries */
  mp_w32 bells;        /* first of its bells' nodes; under registry.bells */
  struct mp_park bell; /* where it sleeps when somebody means to wake just this one */
  mp_w64 turn;         /* its place in the line that it stands in; as the next two, under the mutex
                       ** of the structure whose line that is */
  mp_w32 ahead, behind; /* its neighbours in that line: slot index + 1, or 0 */
  char name[MP_SLOT_NAME]; /* for mp_dump: the process's name; a torn read does no harm */
  struct mp_log_entry log[MP_LOG_MAX] MP_ALIGNED(MP_CACHE_LINE);
  mp_w64 pending[MP_OWNED_MAX]; /* reserved blocks: reference, mp_block_kind above bit 32 */
  mp_w64 doomed[MP_OWNED_MAX];  /* removed blocks that are still to be freed, the same */
  struct mp_handle_entry handle[MP_SLOT_HANDLES];
  struct mp_magazine magazine[MP_CLASSES];
  char doing[MP_SLOT_NAME]; /* for mp_dump: what it runs; a torn read does no harm */
} MP_ALIGNED(MP_CACHE_LINE);

/* How a block in `pending` or `doomed` is to be released; kinds above PLAIN are taken apart
** by the layer that made them (mp_releasers, heap.h). */
enum mp_block_kind { MP_BLOCK_PLAIN, MP_BLOCK_MESSAGE, MP_BLOCK_OBJECT, MP_BLOCK_TASK,
                     MP_BLOCK_KINDS };

/* shared; root of the region MP_REGION_SLOTS, the slots follow it */
struct mp_proctab {
  mp_w32 high; /* atomic; slots 0 .. high-1 have been used; only grows */
  mp_w32 deaths; /* atomic; counts slots that were found dead */
};

struct mp_handles;

/* private; how long it is worth looking on before a sleep (queue_wait.c) */
struct mp_patience {
  uint32_t usual;         /* ns that such waits took of late */
  uint32_t skip, backoff; /* how many more are not to be spent looking on; how many after that */
};

/* private; one participant as its own process sees it */
struct mp_context {
  struct mp_arena arena;
  struct mp_slot *slot;
  uint32_t tag;                /* of `slot` */
  uint32_t log_count;          /* the same as slot->log_count, without a load */
  uint32_t pending, doomed;    /* bit k: slot->pending[k] (doomed[k]) is in use */
  bool locked;                 /* holds an internal mutex: never more than one */
  uint32_t processors;         /* that this process may use */
  bool spins;                  /* may wait a little with the processor in hand (park.c) */
  /* park.c: */
  bool spins_long;             /* a long spin is worth its while */
  uint32_t spin_pause;         /* sleeps before the next long one is tried */
  uint32_t spin_backoff;       /* what the pause will be if it fails */
  int64_t spun_at;             /* when the last spin began that nothing came of; 0: none */
  uint32_t heap_activity;      /* heap_run.c: what the heap had seen at our last trim */
  int32_t pid;                 /* of this process, as in mp_slot.who */
  const uint32_t *guard;       /* wiped by fork: 0 or a newer number in a child */
  uint32_t guard_value;        /* what *guard must be for this context to be usable */
  /* set by context.c: looks for the dead and cleans up after them; at safe points only */
  void (*tend)(struct mp_context *c);
  /* set by context.c: rings the bells of a park; called without a mutex */
  void (*ring)(struct mp_context *c, struct mp_park *p);
  /* set by the user of the context, may be NULL: true when a blocking call should return */
  int (*interrupted)(void *arg);
  void *interrupted_arg;
  /* set by the user of the context, may be NULL: an internal mutex has not come free during a nap,
  ** though its holder lives (mutex.c). May end who is in the way; must not take a mutex */
  void (*stuck)(void *arg);
  void *stuck_arg;
  uint32_t releasing;          /* bit j: slot->doomed[j] is being taken apart or kept (heap.c) */
  bool reaping;                /* object.c: is taking dying objects apart */
  struct mp_patience patience[2]; /* queue_wait.c: of waits for room, and for messages */
  struct mp_handles *handles;  /* object.c: the handles of this participant, private */
  uint32_t armings;            /* bell.c: how often it armed a bell */
  uint32_t child; /* context.c: 1 + slot reserved for a child, between prepare and end */
  bool tracks;                 /* context.c: that child's slot is to wait for mp_context_collect */
  struct mp_context *next; /* context.c: all contexts of this process */
  void *owner;             /* context.c: the thread whose fork() this context follows */
  struct mp_process *children; /* process.c: those that it started and that are not reaped yet */
  bool finishes;           /* process.c: the process's end waits for these children */
};

static inline void *mp_at(const struct mp_context *c, mp_ref ref) {
  return c->arena.base + (size_t)ref * MP_GRANULE;
}
static inline mp_ref mp_ref_of(const struct mp_context *c, const void *at) {
  return (mp_ref)((size_t)((const unsigned char *)at - c->arena.base) / MP_GRANULE);
}
static inline uint64_t mp_offset_of(const struct mp_context *c, const void *at) {
  return (uint64_t)((const unsigned char *)at - c->arena.base);
}

static inline struct mp_proctab *mp_proctab(const struct mp_arena *a) {
  return (struct mp_proctab *)mp_arena_region(a, MP_REGION_SLOTS);
}
static inline struct mp_slot *mp_slot_at(const struct mp_arena *a, uint32_t index) {
  return (struct mp_slot *)(void *)((unsigned char *)mp_proctab(a) + MP_CACHE_LINE) + index;
}
static inline uint32_t mp_tag_index(uint32_t tag) {
  return (tag & ((1u << MP_TAG_INDEX_BITS) - 1)) - 1;
}
static inline uint32_t mp_slot_tag(const struct mp_arena *a, uint32_t index) {
  uint32_t life = w32_get_acquire(&mp_slot_at(a, index)->life);
  return (index + 1) | (life & MP_GENERATION_MASK) << MP_TAG_INDEX_BITS;
}
static inline enum mp_slot_state mp_slot_state_of(uint64_t who) {
  return (enum mp_slot_state)(who >> 62);
}

/* mp_slot.ended for an exit code (0 ..) or minus a signal, and back. */
static inline uint32_t mp_slot_ended_word(int status) {
  return status >= 0 ? (uint32_t)status + 1 : (uint32_t)status;
}
static inline int mp_slot_ended_status(uint32_t word) {
  return (int32_t)word < 0 ? (int)(int32_t)word : (int)word - 1;
}

/* Bytes that the region needs. */
size_t mp_proctab_bytes(void);

/* 0 while it is reserved. */
static inline int mp_slot_pid(const struct mp_slot *s) {
  uint64_t who = w64_get(&s->who);
  return mp_slot_state_of(who) == MP_SLOT_RESERVED ? 0 : (int)(who & UINT64_C(0xffffffff));
}

/* Commits the table's first page. Called once, by the creator. */
MP_MUST_USE int mp_proctab_init(const struct mp_arena *a);

/* Claims a free slot for c, which is then LIVE; or, with `reserve`, claims one for a child
** that is about to be forked and gives its index. The slot is clean. -EUSERS: all are taken;
** -ENOMEM. */
MP_MUST_USE int mp_slot_claim(struct mp_context *c, uint32_t *index);
MP_MUST_USE int mp_slot_reserve(struct mp_context *c, uint32_t *index);

/* Claims the last slot, which nobody keeps: for a newcomer to a full table, to clean up with; it
** waits for another that does so. -EUSERS: one that did died, and is still to be cleaned up;
** -ENOMEM. */
MP_MUST_USE int mp_slot_claim_last(struct mp_context *c);

/* In a forked child: makes the slot that the parent reserved this process's own. MP_LOST when
** somebody judged it dead first (the parent died and was cleaned up). The start time is left to
** mp_slot_note_start: by the child itself, or by a parent that tracks it, as the file to read costs
** a child twice what it costs its parent. */
MP_MUST_USE int mp_slot_adopt(struct mp_context *c, uint32_t index);
void mp_slot_note_start(struct mp_context *c, uint32_t index, int32_t pid);

/* In the parent: makes the reserved slot its child's, if the child has not done so itself. Should
** it die before it can, it is known to be dead. For children that nobody collects. */
void mp_slot_give(struct mp_context *c, uint32_t tag, int32_t pid);

/* Is the participant that `tag` names gone? Its slot may serve somebody else by now. Costs a
** load where it is known, a few microseconds to find out. */
bool mp_slot_gone(struct mp_context *c, uint32_t tag);

/* Marks a slot as dead whose process still lives: an orderly end, or a test's make-believe. */
void mp_slot_abandon(struct mp_context *c, uint32_t index);

/* Finds out whether the slot's participant died, and if so makes the caller its cleaner: true.
** False when it lives, is free, another live participant cleans it, or a dead one did whose own
** change is not undone yet. Use mp_mutex_take_over, which sees to that. */
bool mp_slot_take_over(struct mp_context *c, uint32_t index);

/* Ends a clean-up: done, the slot is empty and free again; or given up for now. */
void mp_slot_free(struct mp_context *c, uint32_t index);
void mp_slot_leave(struct mp_context *c, uint32_t index);

/* Frees the caller's own slot, which is empty. The context is of no use afterwards. */
void mp_slot_resign(struct mp_context *c);

/* Proves the table's invariants: a free slot is empty, a live one is somebody's. NULL or what is
** wrong. For quiet moments: no participant is inside an operation. */
const char *mp_proctab_check(const struct mp_context *c);

#endif
