/*
** What the pool's sources share: its shared structures. Nobody else includes this.
*/
#ifndef MP_POOL_LAYOUT_H
#define MP_POOL_LAYOUT_H

#include <string.h>

#include "park.h"
#include "pool.h"

/* handle_entry.held of a pool: who the participant is to it; above, the task a worker runs */
#define HELD_CREATOR 1u
#define HELD_SUPERVISOR 2u
#define HELD_WORKER 3u /* no task in hand */
#define HELD_TASKS 4u  /* from here on: a task's reference */

#define FUNCTIONS_IN_BLOCK 62u

enum task_state { TASK_WAITING = 1, TASK_RUNNING, TASK_OVER };
#define TASK_KILL_TIMEOUT 1u /* flags: the supervisor kills its worker, and why */
#define TASK_KILL_CANCEL 2u
#define TASK_KILL_MEMORY 4u
#define TASK_CUT 8u /* over before all items ran: they end as the last one that there is */

/* Items in an area: {u32 kind | reference bit | length << 4}, then the bytes, in fours. */
#define ITEM_BY_REFERENCE 8u
#define ITEM_HEAD 4u
#define ITEM_ENDED (ITEM_HEAD + 8u) /* a LOST item: pid and status */
#define ITEM_INLINE_MAX 2048u       /* longer ones travel in a message of their own */

/* shared; where items are written. `used` is the commit: settled items << 32 | bytes. Written by
** the worker that runs the task, or by its cleaner. While an item may be running there are always
** ITEM_ENDED bytes to spare, so that its end can be written without asking for memory. */
struct item_area {
  mp_w32 next; /* the area that follows; under the pool's lock, task.lock once it is over */
  mp_w32 room; /* fixed */
  mp_w64 used; /* counts the items of this area alone */
};

/* shared; one task. Lists and states are under the pool's lock. Behind it in its block: the
** parcel's bytes, if they are not in a message of their own, then the first area. */
struct task {
  mp_w32 next, prev;       /* in line and running: both ways; over: next only */
  mp_w32 state, flags;
  mp_w32 kill_item;        /* TASK_KILL_TIMEOUT, TASK_KILL_MEMORY: because of which item */
  mp_w64 id;               /* serial number << 32 | own reference */
  mp_w64 timeout, started; /* ns */
  mp_w32 worker;           /* tag of who runs it */
  mp_w32 count, retries, retries_left;
  mp_w32 settled;          /* items in all areas but the last one */
  mp_w32 failures;         /* items that ended in anything but a value */
  mp_w32 message;          /* the parcel, if it is not in this block */
  mp_w32 bytes;            /* of the parcel in this block */
  mp_w32 area, last_area;  /* areas: the first one lies in this block */
  mp_mutex lock;           /* for taking it apart, when it belongs to no pool any more */
};

/* shared; functions by number, the newest block first */
struct function_block {
  mp_w32 next, used;
  mp_w32 message[FUNCTIONS_IN_BLOCK];
};

/* shared; everything under object.lock, but for what is said */
struct pool {
  struct mp_object object;
  mp_w32 state;                      /* also read without the lock */
  mp_w32 workers, tasks_per_worker;  /* fixed */
  mp_w64 memory_per_worker;          /* fixed */
  mp_w32 serial;                     /* of the last task */
  mp_w32 todo, todo_last;            /* also read without the lock: is there anything? */
  mp_w32 running;
  mp_w32 over, over_last;            /* the same */
  mp_w32 collected;                  /* taken out of `over`, being read by the creator */
  mp_w32 waiting_count, running_count, worker_count;
  mp_w64 done, failed, lost, restarted;
  mp_w64 enough;                     /* atomic; the creator sleeps until `done` is as much; 0:
                                     ** until a task is over. Written by the creator */
  mp_w32 functions, function_count;  /* chain of function_blocks; number of the last function */
  mp_w32 initializer_error;          /* message, or none */
  mp_w32 unready;                    /* atomic: workers started since the last one came up */
  mp_w32 refused;                    /* why no worker could be started, as -errno; set before the
                                     ** pool breaks of it, by the supervisor, without the lock */
  mp_w32 supervisor;                 /* tag */
  mp_w32 measured;                   /* atomic; the supervisor looks at the workers' memory from
                                     ** time to time: whoever takes a task need not tell it */
  mp_w32 lookout;                    /* atomic; tag of the worker that watches the line, or 0 */
  mp_w32 parting;                    /* its creator ends: set once, by that one, without the lock */
  mp_w32 killing;                    /* the same: workers are not asked to end when it is over */
  struct mp_park work;    /* workers wait for tasks */
  struct mp_park results; /* the creator waits for results */
};

static inline struct pool *pool_of(const struct mp_handle *h) {
  return (struct pool *)(void *)h->object;
}
static inline struct task *task_at(const struct mp_context *c, mp_ref ref) {
  return (struct task *)mp_at(c, ref);
}
static inline struct item_area *area_at(const struct mp_context *c, mp_ref ref) {
  return (struct item_area *)mp_at(c, ref);
}
static inline uint32_t area_items(const struct item_area *a) {
  return (uint32_t)(w64_get_acquire(&a->used) >> 32);
}
static inline uint32_t area_bytes(const struct item_area *a) {
  return (uint32_t)w64_get_acquire(&a->used);
}
static inline unsigned char *area_data(struct item_area *a) {
  return (unsigned char *)(a + 1);
}
/* Items that are settled; exact for its worker, and for all others once the task is over. */
static inline uint32_t task_settled(const struct mp_context *c, const struct task *t) {
  return w32_get(&t->settled) + area_items(area_at(c, w32_get(&t->last_area)));
}

/* Is there room in the task for an ending, as there has to be while an item may be running? */
static inline bool task_can_end(const struct mp_context *c, const struct task *t) {
  const struct item_area *a = area_at(c, w32_get(&t->last_area));
  return area_bytes(a) + ITEM_ENDED <= w32_get(&a->room);
}

/* A task stands in line: wakes a worker, unless one is on the lookout for it. */
static inline void pool_call_worker(struct mp_context *c, struct pool *p) {
  mp_full_fence(); /* the line before the look at `lookout`; pairs with work_watch */
  if (w32_get(&p->lookout) == 0) mp_park_wake(c, &p->work, 1);
}

/* ---- pool_task.c. The first five: in a transaction under the pool's lock ---- */

void mp_task_line_up(struct mp_context *c, struct pool *p, mp_ref task, bool in_front);
void mp_task_leave_line(struct mp_context *c, struct pool *p, mp_ref task);
void mp_task_start(struct mp_context *c, struct pool *p, mp_ref task);
void mp_task_stop(struct mp_context *c, struct pool *p, mp_ref task);
void mp_task_over(struct mp_context *c, struct pool *p, mp_ref task);

/* Reserves a task for the parcel; its message, if it needs one, is reserved too. */
int mp_task_reserve(struct mp_context *c, const struct mp_parcel *parcel,
                    const struct mp_task_options *o, mp_ref *out);
void mp_task_unreserve(struct mp_context *c, mp_ref task);
struct mp_parcel mp_task_parcel(const struct mp_context *c, mp_ref task);

/* Where the next item's bytes go; `used` afterwards is what the commit has to store. */
unsigned char *mp_item_begin(struct item_area *a, enum mp_item_kind kind, bool by_reference,
                             uint32_t length, uint64_t *used);
/* In a transaction: the item that was running when its worker died ends like this. */
void mp_item_end(struct mp_context *c, struct task *t, enum mp_item_kind kind, int32_t pid,
                 int32_t status);

/* In a transaction: the task's worker is to be killed for what the item at hand does. */
void mp_task_condemn(struct mp_context *c, struct task *t, uint32_t why);

const char *mp_task_check(struct mp_context *c, mp_ref task, struct mp_walk *w);

/* pool_function.c: parts of the pool's destroy and check. The first one frees one message. */
void mp_pool_message_drop(struct mp_context *c, struct pool *p, mp_w32 *link);
void mp_pool_functions_drop(struct mp_context *c, struct pool *p);
const char *mp_pool_functions_check(struct mp_context *c, const struct pool *p, struct mp_walk *w);

/* pool_work.c: mp_kind.owner_died of a pool. */
void mp_pool_owner_died(struct mp_context *c, struct mp_object *o, struct mp_handle_entry *entry,
                        const struct mp_slot *dead);

#endif
