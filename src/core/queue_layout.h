/*
** What the queue's sources share: its shared structures and the steps beneath its operations.
** Nobody else includes this.
*/
#ifndef MP_QUEUE_LAYOUT_H
#define MP_QUEUE_LAYOUT_H

#include <string.h>

#include "check.h"
#include "park.h"
#include "queue.h"

#define SEGMENT_FIRST 2048u /* bytes of a queue's first segment */
#define SEGMENT_LAST 20480u /* and of its largest ones: three fit a span of the heap */
#define BATCH_MAX 32u       /* messages in one step of put_many and get_many */
#define BATCH_BLOCKS 4u     /* of them with a block of their own */
#define DROWSY_NS INT64_C(1000000)

/* shared; one message. Filled in beyond the tail, and fixed from then on */
struct cell {
  mp_w32 length; /* of an inline message */
  mp_w32 block;  /* MP_NONE: the bytes stand here */
  unsigned char bytes[MP_LETTER_SMALL];
};

/* shared; a run of cells, each used once. They start at the next multiple of 64 behind this. */
struct segment {
  mp_w32 cells; /* fixed */
  mp_w32 next;  /* under put.lock; read by getters once the tail has passed it */
};

/* Keeps what different processes write off each other's cache lines, wherever the block starts:
** blocks are aligned to 16, and each group of words is shorter than a line. */
#define GAP (2 * MP_CACHE_LINE)

/* shared */
struct queue {
  struct mp_object object; /* object.lock: not used */
  mp_w64 max_items;        /* fixed; UINT64_MAX: no bound */
  mp_w64 max_bytes;        /* fixed; UINT64_MAX: no bound */
  mp_w32 flavour;          /* fixed; enum mp_queue_flavour */
  mp_w32 closed;           /* one store under put.lock, read by all: enum queue_closed */
  unsigned char gap1[GAP - sizeof(struct mp_object) - 24];
  struct {
    mp_mutex lock;
    mp_w32 segment;     /* under lock: where the tail is, or would be */
    mp_w64 base;        /* under lock: ticket of the segment's first cell */
    mp_w64 head_seen;   /* under lock: head as it was at some time */
    mp_w64 bytes;       /* under lock, planned: bytes put so far; bounded queues only */
  } put;
  unsigned char gap2[GAP - 32];
  mp_w64 tail; /* changed under put.lock, by one store or planned; read by all */
  unsigned char gap3[GAP - 8];
  struct {
    mp_mutex lock;
    mp_w32 segment;   /* under lock: where the head is, or the exhausted one before */
    mp_w64 base;      /* under lock: ticket of the segment's first cell */
    mp_w64 tail_seen; /* under lock: tail as it was at some time */
    /* joinable queues; changed under lock, planned; `finished` and `lost` are read by all */
    mp_w64 finished;  /* messages that are done with, without the lost ones */
    mp_w64 lost;      /* messages whose getter died before task_done */
    mp_w64 borrowed;  /* task_dones by participants that held none: others' */
  } get;
  unsigned char gap4[GAP - 48];
  mp_w64 head;      /* changed under get.lock, by one store or planned; read by all */
  mp_w64 bytes_got; /* the same, planned; bounded queues only */
  unsigned char gap5[GAP - 16];
  struct mp_park not_empty, not_full; /* who waits for a message; for room */
  struct mp_park drowsy;              /* who waits for much room, at most DROWSY_NS */
  struct mp_park all_done;            /* who waits in join */
};

enum queue_closed { QUEUE_OPEN, QUEUE_SHUT, QUEUE_EMPTIED };

static inline struct queue *queue_of(const struct mp_handle *h) {
  return (struct queue *)(void *)h->object;
}

static inline struct segment *segment_at(const struct mp_context *c, mp_ref ref) {
  return (struct segment *)mp_at(c, ref);
}
static inline struct cell *cell_at(const struct mp_context *c, mp_ref segment, uint64_t index) {
  uint64_t first = mp_round_up((uint64_t)segment * MP_GRANULE + sizeof(struct segment), 64);
  return (struct cell *)(void *)(c->arena.base + first) + index;
}
static inline uint32_t segment_cells(uint32_t bytes) {
  return bytes / (uint32_t)sizeof(struct cell) - 1; /* what stands before them is < one cell */
}

/* Bytes of a message, as max_bytes counts them. */
static inline uint64_t cell_weight(const struct mp_context *c, const struct cell *cell) {
  mp_ref block = w32_get(&cell->block);
  return block == MP_NONE ? w32_get(&cell->length) : mp_message_view(c, block).length;
}

/* Reserves a segment of that many bytes, filled in but for what is in its cells. -ENOMEM. */
MP_MUST_USE int mp_queue_segment(struct mp_context *c, uint32_t bytes, mp_ref *out);

/* ---- waiting (queue_wait.c) ---- */

/* private; what is waited for: that *word is no longer `seen` */
struct queue_wait {
  const mp_w64 *word;
  uint64_t seen;
  mp_deadline until;
  struct mp_patience *patience;
  int64_t since; /* when it began; 0: not yet */
  unsigned nap;  /* how many there were */
};

static inline struct queue_wait queue_wait_put(struct mp_context *c, struct queue *q,
                                               mp_deadline until) {
  return (struct queue_wait){.word = &q->head, .until = until, .patience = &c->patience[0]};
}
static inline struct queue_wait queue_wait_get(struct mp_context *c, struct queue *q,
                                               mp_deadline until) {
  return (struct queue_wait){.word = &q->tail, .until = until, .patience = &c->patience[1]};
}

/* Reads the word again and again for a while; true when it has changed. */
bool mp_queue_look_on(struct mp_context *c, struct queue_wait *w);

/* The wait was not in vain: learns how long it was. */
void mp_queue_wait_over(struct queue_wait *w);

/* Sleeps on `park` while nothing has come of it and the queue is open; else as mp_park_wait. */
MP_MUST_USE int mp_queue_sleep(struct mp_context *c, struct queue *q, struct mp_park *park,
                               struct queue_wait *w);

/* After unlocking and a full fence: wakes up to n, if any may be there. */
static inline void queue_wake(struct mp_context *c, struct mp_park *park, uint32_t n) {
  if (mp_unlikely(mp_park_awaited(park))) mp_park_wake_slow(c, park, n);
}

/* mp_kind.owner_died of queues. */
void mp_queue_owner_died(struct mp_context *c, struct mp_object *o, struct mp_handle_entry *entry,
                         const struct mp_slot *dead);

/* ---- taking (queue_get.c) ---- */

/* Takes every message out and throws it away; they count as finished. Resumable. */
void mp_queue_drain(struct mp_context *c, struct queue *q);

#endif
