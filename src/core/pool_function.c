/*
** A pool's functions: bytes that many tasks refer to by a number.
**
** Structure: a chain of blocks of references to messages, the newest first; numbers count up and
** are never used again, so a number tells its block. Lock: the pool's. Invariant: `used` of all
** blocks add up to function_count; a reference may be gone, when the creator has dropped its
** function. Death: a function becomes real in one transaction; dropping it is one too, with its
** message doomed. The creator drops only what no task refers to, so no worker reads it then.
*/
#include "pool_layout.h"

/* The block that the next function goes into; with a new one if the last is full. */
static int function_room(struct mp_handle *pool, mp_ref *out) {
  struct mp_context *c = pool->context;
  mp_ref ref = w32_get(&pool_of(pool)->functions);
  if (ref != MP_NONE &&
      w32_get(&((struct function_block *)mp_at(c, ref))->used) < FUNCTIONS_IN_BLOCK) {
    *out = MP_NONE;
    return 0;
  }
  int r = mp_heap_reserve(c, sizeof(struct function_block), MP_BLOCK_PLAIN, out);
  if (r == 0) memset(mp_at(c, *out), 0, sizeof(struct function_block));
  return r;
}

int mp_pool_function_add(struct mp_handle *pool, const struct mp_parcel *function,
                         uint32_t *number) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_ref message, fresh;
  int r = mp_message_reserve(c, function, &message);
  if (r != 0) return r;
  r = function_room(pool, &fresh);
  if (r != 0) {
    mp_message_unreserve(c, message);
    return r;
  }
  uint32_t count = w32_get(&p->function_count) + 1;
  mp_mutex_lock(c, &p->object.lock);
  if (fresh != MP_NONE) {
    w32_put(&((struct function_block *)mp_at(c, fresh))->next, w32_get(&p->functions));
    mp_tx_set32(c, &p->functions, fresh);
    mp_tx_publish(c, fresh);
  }
  struct function_block *b = (struct function_block *)mp_at(c, w32_get(&p->functions));
  uint32_t used = w32_get(&b->used);
  mp_tx_set32(c, &b->message[used], message);
  mp_tx_set32(c, &b->used, used + 1);
  mp_tx_set32(c, &p->function_count, count);
  mp_tx_publish(c, message);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  *number = count;
  return 0;
}

/* Under the pool's lock: where the function's message is named; NULL: there never was such a
** one. */
static mp_w32 *function_find(struct mp_context *c, const struct pool *p, uint32_t number) {
  uint32_t last = w32_get(&p->function_count);
  mp_ref ref = w32_get(&p->functions);
  if (number == 0 || number > last) return NULL;
  while (ref != MP_NONE) {
    struct function_block *b = (struct function_block *)mp_at(c, ref);
    uint32_t first = last - w32_get(&b->used) + 1;
    if (number >= first) return &b->message[number - first];
    last = first - 1;
    ref = w32_get(&b->next);
  }
  return NULL;
}

int mp_pool_function(struct mp_handle *pool, uint32_t number, struct mp_parcel *out) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  const mp_w32 *found = function_find(c, p, number);
  mp_ref message = found != NULL ? w32_get(found) : MP_NONE;
  mp_mutex_unlock(c, &p->object.lock);
  if (message == MP_NONE) return MP_EMPTY;
  *out = mp_message_view(c, message);
  return 0;
}

void mp_pool_function_drop(struct mp_handle *pool, uint32_t number) {
  struct mp_context *c = pool->context;
  struct pool *p = pool_of(pool);
  mp_mutex_lock(c, &p->object.lock);
  mp_w32 *link = function_find(c, p, number);
  mp_mutex_unlock(c, &p->object.lock);
  if (link != NULL) mp_pool_message_drop(c, p, link);
}

/* ---- the end ---- */

void mp_pool_message_drop(struct mp_context *c, struct pool *p, mp_w32 *link) {
  mp_ref message = w32_get(link);
  if (message == MP_NONE) return;
  mp_mutex_lock(c, &p->object.lock);
  mp_tx_set32(c, link, MP_NONE);
  mp_tx_doom(c, message, MP_BLOCK_MESSAGE);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &p->object.lock);
  mp_heap_free_doomed(c);
}

void mp_pool_functions_drop(struct mp_context *c, struct pool *p) {
  for (mp_ref ref; (ref = w32_get(&p->functions)) != MP_NONE;) {
    struct function_block *b = (struct function_block *)mp_at(c, ref);
    for (uint32_t i = 0; i < FUNCTIONS_IN_BLOCK; i++) mp_pool_message_drop(c, p, &b->message[i]);
    mp_mutex_lock(c, &p->object.lock);
    mp_tx_set32(c, &p->functions, w32_get(&b->next));
    mp_tx_doom(c, ref, MP_BLOCK_PLAIN);
    mp_tx_commit(c);
    mp_mutex_unlock(c, &p->object.lock);
    mp_heap_free_doomed(c);
  }
}

/* ---- check ---- */

const char *mp_pool_functions_check(struct mp_context *c, const struct pool *p,
                                    struct mp_walk *w) {
  const char *wrong = NULL;
  uint32_t count = 0;
  for (mp_ref ref = w32_get(&p->functions); wrong == NULL && ref != MP_NONE;) {
    const struct function_block *b = (const struct function_block *)mp_at(c, ref);
    wrong = mp_walk_block(w, ref);
    for (uint32_t i = 0; wrong == NULL && i < w32_get(&b->used); i++, count++)
      if (w32_get(&b->message[i]) != MP_NONE) wrong = mp_walk_message(w, w32_get(&b->message[i]));
    ref = w32_get(&b->next);
  }
  if (wrong == NULL && count > w32_get(&p->function_count))
    wrong = "pool: functions are miscounted";
  return wrong;
}
