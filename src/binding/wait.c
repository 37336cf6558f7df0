/*
** Waiting: `fileno` of what can be waited for, and wait(list [, timeout]) over many things.
**
** What is waited for is told anew after each interruption, as a hook may have closed some of it.
*/
#include <errno.h>

#include "../core/bell.h"
#include "nouns.h"
#include "pool.h"
#include "queue_letters.h"

static bool waitable(const struct mp_lua_handle *u) {
  return u->handle != NULL && mp_waitables[w32_get(&u->handle->object->kind)] != NULL;
}

/* The open object of ours at argument 1. */
static struct mp_lua_handle *object_check(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u == NULL) mp_lua_raise_type(L, 1, "shared object");
  if (u->handle == NULL && mp_lua_handle_type(u)->kind == MP_KIND_PIPE)
    mp_lua_raise(L, "OSError", "handle is closed");
  if (u->handle != NULL && !waitable(u)) mp_lua_raise_type(L, 1, "queue, connection or event");
  return mp_lua_handle_check(L, 1, mp_lua_handle_type(u));
}

static int wait_fileno(lua_State *L) {
  struct mp_lua_handle *u = object_check(L);
  int fd, r = mp_fileno(u->handle, &fd);
  if (r == -EINVAL) return mp_lua_raise(L, "OSError", "connection is write-only");
  mp_lua_result(L, r, mp_lua_handle_type(u)->name);
  lua_pushinteger(L, fd);
  return 1;
}

/* ---- what a thing is ---- */

/* Is a message kept in the userdata itself (queue_letters.h)? */
static bool has_kept(const struct mp_lua_handle *u) {
  enum mp_object_kind kind = mp_lua_handle_type(u)->kind;
  if (kind != MP_KIND_QUEUE && kind != MP_KIND_PIPE) return false;
  return ((const struct mp_lua_queue *)(const void *)u)->kept_count > 0;
}

static int refuse(lua_State *L, int index) {
  return mp_lua_raise(L, "TypeError", "cannot wait for %s", luaL_tolstring(L, index, NULL));
}

static int descriptor(lua_State *L, int index, int item) {
  int whole;
  lua_Integer fd = lua_tointegerx(L, index, &whole);
  if (!whole || lua_type(L, index) != LUA_TNUMBER) return refuse(L, item);
  if (fd < 0 || fd > INT32_MAX)
    return mp_lua_raise(L, "ValueError", "no descriptor: %I", (LUAI_UACINT)fd);
  return (int)fd;
}

/* The descriptor of the thing on top of the stack: what its fileno or getfd says or its
** sentinel. */
static int thing_descriptor(lua_State *L) {
  static const char *const methods[] = {"fileno", "getfd"};
  int item = lua_gettop(L);
  if (lua_type(L, item) == LUA_TNUMBER) return descriptor(L, item, item);
  if (!lua_istable(L, item) && !lua_isuserdata(L, item)) return refuse(L, item);
  for (int i = 0; i < 2; i++) {
    if (lua_getfield(L, item, methods[i]) != LUA_TNIL) {
      lua_pushvalue(L, item);
      lua_call(L, 1, 1);
      return descriptor(L, -1, item);
    }
  }
  lua_getfield(L, item, "sentinel");
  return descriptor(L, -1, item);
}

/* The AsyncResult or Future on top: is it over? Else its pool is what to wait for. */
static bool result_over(lua_State *L, const struct result *r, mp_waiting *w) {
  if (r->state != RESULT_OPEN) return true;
  lua_getiuservalue(L, -1, RESULT_POOL);
  const struct pool *p = mp_lua_pool_check(L, lua_gettop(L));
  mp_lua_pool_drain(L, lua_gettop(L));
  w->object = p->base.handle;
  return r->state != RESULT_OPEN;
}

/* Fills in what to wait for, by the table at 3. True: something is there already. */
static bool things_tell(lua_State *L, mp_waiting *w, size_t n) {
  bool any = false;
  for (size_t i = 0; i < n; i++) {
    w[i] = (mp_waiting){.fd = -1};
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    struct mp_lua_handle *u = mp_lua_handle_test(L, -1);
    bool ours = u != NULL && waitable(u);
    const struct result *r = mp_lua_result_test(L, -1);
    if (r != NULL && result_over(L, r, &w[i]))
      w[i].object = NULL, any = true;
    else if (r != NULL)
      continue;
    else if (ours && has_kept(u))
      any = true;
    else if (ours)
      w[i].object = u->handle;
    else
      w[i].fd = thing_descriptor(L);
    lua_settop(L, 4);
  }
  return any;
}

/* A pool that is ready may have another result than the one that is waited for. Gives how many
** things are ready indeed. */
static size_t recheck(lua_State *L, mp_waiting *w, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    mp_waiting ignored;
    lua_settop(L, 4);
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    const struct result *r = mp_lua_result_test(L, -1);
    if (r != NULL && w[i].ready) w[i].ready = result_over(L, r, &ignored);
    count += w[i].ready || (w[i].object == NULL && w[i].fd < 0);
  }
  lua_settop(L, 4);
  return count;
}

/* The list of what is ready, in the order of the things. */
static int push_ready(lua_State *L, const mp_waiting *w, size_t n) {
  lua_Integer found = 0;
  lua_newtable(L);
  for (size_t i = 0; i < n; i++) {
    if (!w[i].ready && (w[i].object != NULL || w[i].fd >= 0)) continue;
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    lua_rawseti(L, -2, ++found);
  }
  return 1;
}

static int wait_for(lua_State *L, mp_waiting *w, size_t n, mp_deadline until) {
  size_t count;
  int r;
  do {
    bool any = things_tell(L, w, n);
    r = mp_wait(mp_lua_context(L), w, n, any ? MP_NOW : until, &count);
    if (r == MP_TIMEOUT && any) r = 0;
  } while ((r == MP_INTERRUPTED && mp_lua_interrupt(L)) || (r == 0 && recheck(L, w, n) == 0));
  if (r != 0 && r != MP_TIMEOUT) mp_lua_result(L, r == -EINVAL ? -EBADF : r, "waiting");
  return r;
}

/* wait(list [, timeout]) -> the list of those that are ready */
static int wait_wait(lua_State *L) {
  mp_deadline until = mp_lua_timeout(L, 2);
  lua_settop(L, 2);
  if (!mp_lua_is_list(L, 1)) return mp_lua_raise_type(L, 1, "list");
  lua_Integer n = luaL_len(L, 1);
  lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_geti(L, 1, i);
    lua_rawseti(L, 3, i);
  }
  mp_waiting *w = (mp_waiting *)lua_newuserdatauv(L, (size_t)n * sizeof *w + 1, 0);
  if (wait_for(L, w, (size_t)n, until) == MP_TIMEOUT) {
    lua_newtable(L);
    return 1;
  }
  return push_ready(L, w, (size_t)n);
}

static const luaL_Reg wait_functions[] = {{"wait", wait_wait}, {NULL, NULL}};

/* fileno becomes a method of all that can be waited for. */
void mp_lua_open_wait(lua_State *L) {
  static const char *const types[] = {"Queue", "JoinableQueue", "SimpleQueue", "Connection",
                                      "Event"};
  mp_lua_types(L);
  for (size_t i = 0; i < MP_COUNT_OF(types); i++) {
    lua_getfield(L, -1, types[i]);
    lua_pushcfunction(L, wait_fileno);
    lua_setfield(L, -2, "fileno");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  mp_lua_functions(L, wait_functions);
}
