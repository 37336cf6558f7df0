/*
** Barrier. What goes with one, {action =, timeout =}, is the user value of its userdata, and
** travels as a message of the core's barrier; an action that cannot be encoded stays with the
** processes that are forked with it, and `reason` says so to others.
*/
#include <errno.h>
#include <string.h>

#include "../core/sync.h"
#include "binding.h"
#include "nouns.h"

struct barrier_handle {
  struct mp_lua_handle base;
  bool known; /* the user value is there, if there is one */
};

static void barrier_show(lua_State *L, struct mp_lua_handle *u) {
  mp_barrier_look look = mp_barrier_look_at(u->handle);
  if (look.broken)
    lua_pushliteral(L, "broken");
  else
    lua_pushfstring(L, "%d of %d waiting", (int)look.waiting, (int)look.parties);
}

static const struct mp_lua_type barrier_type = {.name = "Barrier",
                                                .noun = "barrier",
                                                .kind = MP_KIND_BARRIER,
                                                .size = sizeof(struct barrier_handle),
                                                .show = barrier_show};

static struct barrier_handle *barrier_check(lua_State *L) {
  return (struct barrier_handle *)mp_lua_handle_check(L, 1, &barrier_type);
}

/* ---- wait ---- */

/* Pushes field `name` of what goes with the barrier at 1, which arrives at its first use. */
static void push_extra(lua_State *L, struct barrier_handle *b, const char *name) {
  struct mp_parcel parcel;
  if (!b->known && mp_barrier_action(b->base.handle, &parcel) == 0) {
    (void)mp_lua_decode(L, parcel.bytes, parcel.length, MP_CODEC_FULL);
    lua_setiuservalue(L, 1, 1);
  }
  b->known = true;
  if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
  }
}

struct action { /* the argument of barrier_act */
  lua_State *L;
  int index;   /* of the function */
  bool failed; /* its error is on top of the stack */
};

static int barrier_act(void *arg) {
  struct action *a = (struct action *)arg;
  lua_pushvalue(a->L, a->index);
  a->failed = lua_pcall(a->L, 0, 0, 0) != LUA_OK;
  return a->failed;
}

static mp_deadline barrier_deadline(lua_State *L, struct barrier_handle *b) {
  if (!lua_isnoneornil(L, 2)) return mp_lua_timeout(L, 2);
  push_extra(L, b, "timeout");
  mp_deadline until = mp_lua_seconds(L, -1, "timeout");
  lua_pop(L, 1);
  return until;
}

static void check_reason(lua_State *L, struct barrier_handle *b) {
  push_extra(L, b, "reason");
  if (!lua_isnil(L, -1))
    mp_lua_raise(L, "ProcessError", "the barrier's action could not come here: %s",
                 lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* wait([timeout]): a number from 1. */
static int barrier_wait(lua_State *L) {
  static const struct mp_lua_condition conditions[] = {
      {MP_BROKEN, "BrokenBarrierError", "the barrier is broken"},
      {MP_TIMEOUT, "TimeoutError", "the time is up while the barrier's action still runs"},
      {0, NULL, NULL}};
  struct barrier_handle *b = barrier_check(L);
  mp_deadline until = barrier_deadline(L, b);
  check_reason(L, b);
  lua_settop(L, 2);
  push_extra(L, b, "action");
  luaL_checkstack(L, 10, NULL);
  struct action a = {L, 3, false};
  mp_barrier_act act = {barrier_act, &a};
  unsigned number = 0;
  int r;
  do r = mp_barrier_wait(b->base.handle, until, lua_isnil(L, 3) ? NULL : &act, &number);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  if (a.failed) return lua_error(L);
  if (r == -EDEADLK)
    mp_lua_raise(L, "ProcessError", "a barrier's action may not wait for its barrier");
  mp_lua_result_as(L, r, "Barrier", conditions);
  lua_pushinteger(L, (lua_Integer)number);
  return 1;
}

/* ---- the rest ---- */

static int barrier_reset(lua_State *L) {
  mp_barrier_reset(barrier_check(L)->base.handle);
  return 0;
}

static int barrier_abort(lua_State *L) {
  mp_barrier_abort(barrier_check(L)->base.handle);
  return 0;
}

/* The fields: parties, n_waiting, broken. Upvalue: the methods. */
static int barrier_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  mp_barrier_look look = mp_barrier_look_at(barrier_check(L)->base.handle);
  if (strcmp(key, "parties") == 0)
    lua_pushinteger(L, (lua_Integer)look.parties);
  else if (strcmp(key, "n_waiting") == 0)
    lua_pushinteger(L, (lua_Integer)look.waiting);
  else if (strcmp(key, "broken") == 0)
    lua_pushboolean(L, look.broken);
  else
    return 0;
  return 1;
}

/* ---- making one ---- */

/* make(barrier, parties, extra): in a call of its own, as encoding may raise. */
static int barrier_open(lua_State *L) {
  struct barrier_handle *b = (struct barrier_handle *)lua_touserdata(L, 1);
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_parcel p;
  struct mp_codec_request what = {3, 1, MP_CODEC_FULL, "Barrier"};
  uint32_t parties = (uint32_t)lua_tointeger(L, 2);
  bool extra = lua_istable(L, 3);
  if (extra) mp_lua_encode(L, &what, &p);
  int r = mp_barrier_new_with(c, parties, extra ? &p.parcel : NULL, &b->base.handle);
  if (extra) mp_lua_encode_done(&p);
  mp_lua_result(L, r, "Barrier");
  b->known = true;
  return 0;
}

/* The action cannot be encoded, for the reason on top of the stack: only its processes have it. */
static void barrier_open_without(lua_State *L, int barrier, int parties, int extra) {
  luaL_tolstring(L, -1, NULL);
  lua_pushcfunction(L, barrier_open);
  lua_pushvalue(L, barrier);
  lua_pushvalue(L, parties);
  lua_createtable(L, 0, 2);
  lua_getfield(L, extra, "timeout");
  lua_setfield(L, -2, "timeout");
  lua_pushvalue(L, -5);
  lua_setfield(L, -2, "reason");
  lua_call(L, 3, 0);
}

static bool is_serialization_error(lua_State *L) {
  if (luaL_getmetafield(L, -1, "__name") == LUA_TNIL) return false;
  bool is = strcmp(lua_tostring(L, -1), "SerializationError") == 0;
  lua_pop(L, 1);
  return is;
}

/* At 4 the barrier, at 5 what goes with it. */
static int barrier_make(lua_State *L) {
  lua_pushcfunction(L, barrier_open);
  lua_pushvalue(L, 4);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 5);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
    if (!is_serialization_error(L)) return lua_error(L);
    barrier_open_without(L, 4, 1, 5);
  }
  lua_pushvalue(L, 5);
  lua_setiuservalue(L, 4, 1);
  lua_settop(L, 4);
  return 1;
}

/* Barrier(parties [, action [, timeout]]) */
static int barrier_new(lua_State *L) {
  static const struct mp_lua_option options[] = {{"parties", MP_LUA_INTEGER},
                                                 {"action", MP_LUA_FUNCTION},
                                                 {"timeout", MP_LUA_SECONDS},
                                                 {NULL, MP_LUA_ANY}};
  mp_lua_options(L, 1, options);
  lua_Integer parties = lua_tointeger(L, 1);
  if (lua_isnil(L, 1)) mp_lua_raise_type(L, 1, "integer");
  if (parties < 1 || parties > (lua_Integer)MP_SLOTS)
    mp_lua_raise(L, "ValueError", "Barrier: parties must be from 1 to %d, got %I", (int)MP_SLOTS,
                 (LUAI_UACINT)parties);
  (void)mp_lua_handle_new(L, &barrier_type);
  if (lua_isnil(L, 2) && lua_isnil(L, 3)) {
    lua_pushnil(L);
  } else {
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "action");
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, "timeout");
  }
  return barrier_make(L);
}

static const luaL_Reg barrier_methods[] = {{"wait", barrier_wait},
                                           {"reset", barrier_reset},
                                           {"abort", barrier_abort},
                                           {NULL, NULL}};
static const luaL_Reg barrier_metamethods[] = {{"__index", barrier_index}, {NULL, NULL}};
static const luaL_Reg barrier_functions[] = {{"Barrier", barrier_new}, {NULL, NULL}};

void mp_lua_open_barrier(lua_State *L) {
  mp_lua_type(L, &barrier_type, barrier_methods, barrier_metamethods);
  mp_lua_functions(L, barrier_functions);
}
