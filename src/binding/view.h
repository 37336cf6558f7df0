/*
** Views: the userdata behind Value, Array, RawValue and RawArray.
**
** The four are one kind of object; whether a lock goes with it, and whether it is a single value,
** say which. A call on a Value or Array takes the lock for its duration, unless this process holds
** it already, so that nobody slips between the lines of another's `with`. What a call needs from
** Lua it fetches before it takes the lock, and what it raises, after: nothing under the lock can
** raise. A RawValue or RawArray from get_obj stands for the same object and takes no lock; it
** travels as the object that it is.
*/
#ifndef MP_VIEW_H
#define MP_VIEW_H

#include "number.h"

/* The kind's own words. */
struct mp_lua_view {
  struct mp_lua_handle base;
  mp_lock *lock;  /* NULL: none, or not yet opened */
  bool known;     /* lock and what follows are filled in */
  bool takes;     /* takes the lock around each call */
  bool scalar;
  char code;
  size_t count;
};

extern const struct mp_lua_type mp_lua_value_type, mp_lua_raw_value_type;
extern const struct mp_lua_type mp_lua_array_type, mp_lua_raw_array_type;

/* Opens the lock and fills in the rest, at the first call. */
void mp_lua_view_learn(lua_State *L, struct mp_lua_view *v);

/* The open view of that type at argument 1. */
static inline struct mp_lua_view *mp_lua_view_check(lua_State *L, const struct mp_lua_type *type) {
  struct mp_lua_view *v = (struct mp_lua_view *)mp_lua_handle_check(L, 1, type);
  if (mp_unlikely(!v->known)) mp_lua_view_learn(L, v);
  return v;
}
/* The same for a method that two types have. */
struct mp_lua_view *mp_lua_view_either(lua_State *L, const struct mp_lua_type *type,
                                       const struct mp_lua_type *raw);

/* Takes the lock if that is due; the result is for mp_lua_view_leave, which cannot fail. */
int mp_lua_view_acquire(lua_State *L, struct mp_lua_view *v);
void mp_lua_view_release(struct mp_lua_view *v, int entered);
static inline int mp_lua_view_enter(lua_State *L, struct mp_lua_view *v) {
  return v->takes ? mp_lua_view_acquire(L, v) : 0;
}
static inline void mp_lua_view_leave(struct mp_lua_view *v, int entered) {
  if (entered != 0) mp_lua_view_release(v, entered);
}

/* For messages: this element, or the whole. */
struct mp_lua_site mp_lua_view_site(const struct mp_lua_view *v, size_t i);
struct mp_lua_site mp_lua_view_whole(const struct mp_lua_view *v);

/* Element i: pushed, or set to the value at that stack index. Both give the number of results. */
int mp_lua_view_get(lua_State *L, struct mp_lua_view *v, size_t i);
int mp_lua_view_set(lua_State *L, struct mp_lua_view *v, size_t i, int index);

/* Methods of all. get_lock and get_obj are for those that have a lock. */
int mp_lua_view_get_lock(lua_State *L);
int mp_lua_view_get_obj(lua_State *L);
int mp_lua_view_close(lua_State *L);

/* What stands at `first` as the option lock: a lock to be used, or NULL and *fresh says whether to
** make one. */
mp_lock *mp_lua_view_lock_option(lua_State *L, int first, bool *fresh);
/* Makes the object, pushes its view, and gives 1. */
int mp_lua_view_make(lua_State *L, mp_array_options o, bool fresh);

/* Gives a type its methods and its index functions, whose upvalues are the methods and "value". */
void mp_lua_view_type(lua_State *L, const struct mp_lua_type *type, const luaL_Reg *methods,
                      const luaL_Reg *metamethods);

#endif
