/*
** The kinds of shared objects, what one holds of them, which of them can be waited for, and the
** kinds of blocks: the one place that knows them all.
*/
#include "array.h"
#include "message.h"
#include "pipe.h"
#include "pool.h"
#include "sync.h"

const struct mp_kind *const mp_kinds[MP_KINDS] = {
  [MP_KIND_NONE] = NULL,
  [MP_KIND_LOCK] = &mp_lock_kind,
  [MP_KIND_RLOCK] = &mp_rlock_kind,
  [MP_KIND_SEMAPHORE] = &mp_semaphore_kind,
  [MP_KIND_EVENT] = &mp_event_kind,
  [MP_KIND_CONDITION] = &mp_condition_kind,
  [MP_KIND_BARRIER] = &mp_barrier_kind,
  [MP_KIND_QUEUE] = &mp_queue_kind,
  [MP_KIND_PIPE] = &mp_pipe_kind,
  [MP_KIND_ARRAY] = &mp_array_kind,
  [MP_KIND_POOL] = &mp_pool_kind,
};

mp_holding *const mp_holdings[MP_KINDS] = {
  [MP_KIND_LOCK] = mp_lock_holding,
  [MP_KIND_RLOCK] = mp_lock_holding,
  [MP_KIND_SEMAPHORE] = mp_semaphore_holding,
  [MP_KIND_CONDITION] = mp_place_holding,
  [MP_KIND_BARRIER] = mp_place_holding,
};

const struct mp_waitable *const mp_waitables[MP_KINDS] = {
  [MP_KIND_EVENT] = &mp_event_waitable,
  [MP_KIND_QUEUE] = &mp_queue_waitable,
  [MP_KIND_PIPE] = &mp_pipe_waitable,
  [MP_KIND_POOL] = &mp_pool_waitable,
};

mp_releaser *const mp_releasers[MP_BLOCK_KINDS] = {
  [MP_BLOCK_PLAIN] = NULL, /* freed as it is */
  [MP_BLOCK_MESSAGE] = mp_message_release,
  [MP_BLOCK_OBJECT] = mp_object_release,
  [MP_BLOCK_TASK] = mp_task_release,
};
