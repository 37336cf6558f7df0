/*
** The task of the crash enumerations around a pool: three items, each of whose values is its
** number.
*/
#ifndef SPEC_CORE_POOL_TASK_H
#define SPEC_CORE_POOL_TASK_H

#include "../../src/core/mutex.h"
#include "../../src/core/pool.h"
#include "../../src/core/pool_layout.h"
#include "crash.h"

#define ITEMS 3

TEST_TOOL const struct mp_task_options three_items = {.count = ITEMS};

TEST_TOOL struct mp_parcel text(const char *s) {
  return (struct mp_parcel){.bytes = s, .length = strlen(s)};
}

/* Runs what is left of the task; each item's value is its number, in `bytes` bytes. */
TEST_TOOL int run_items(struct mp_handle *pool, size_t bytes) {
  struct mp_work work;
  static char value[5000];
  int r = mp_work_take(pool, MP_NOW, &work);
  if (r != 0) return r;
  for (uint32_t i = work.first; i < work.count; i++) {
    memset(value, '0' + (int)i, bytes);
    r = mp_work_settle(&work, MP_ITEM_VALUE,
                       &(struct mp_parcel){.bytes = value, .length = bytes});
    if (r != 0) return r;
  }
  return mp_work_done(&work);
}

#endif
