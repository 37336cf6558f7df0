/*
** Guards: `with` and `guard` for everything that is acquired and released.
*/
#ifndef MP_GUARD_H
#define MP_GUARD_H

#include "../core/sync.h"
#include "binding.h"

/* What a type of lock does; the core's functions. */
struct mp_lua_lockable {
  const struct mp_lua_type *type;
  struct mp_handle *(*lock)(struct mp_lua_handle *u); /* what is acquired; NULL: the handle */
  int (*acquire)(struct mp_handle *h, mp_deadline until);
  int (*release)(struct mp_handle *h);
  const struct mp_lua_condition *conditions; /* what release says */
};

/* Gives the type's methods `with` and `guard`. `how` is constant. */
void mp_lua_guard_type(lua_State *L, const struct mp_lua_lockable *how);

/* acquire([block [, timeout]]) and release(), for the handle of what is acquired. */
static inline int mp_lua_acquire(lua_State *L, struct mp_handle *h, mp_deadline until,
                                 int (*acquire)(struct mp_handle *, mp_deadline)) {
  int r;
  do r = acquire(h, until);
  while (mp_unlikely(r == MP_INTERRUPTED) && mp_lua_interrupt(L));
  return r;
}

/* Pushes what acquire returns: true; true, "abandoned"; false. Or raises. Gives their number. */
int mp_lua_acquired_slow(lua_State *L, int r, const char *what);
static inline int mp_lua_acquired(lua_State *L, int r, const char *what) {
  if (mp_unlikely(r != 0)) return mp_lua_acquired_slow(L, r, what);
  lua_pushboolean(L, 1);
  return 1;
}

extern const struct mp_lua_type mp_lua_lock_type, mp_lua_rlock_type;
extern const struct mp_lua_condition mp_lua_lock_conditions[];

#endif
