/*
** The ground of the binding as a Lua module, for its specs: the core table of the library itself,
** with a type of our own, so that what all types share can be seen without any of them.
**
**   thing() -> Thing; special() -> Special, derived from it; stay() -> Stay, which may not travel
**   thing:touch(), thing:wait([block [, timeout]]) -> "forever", "now" or the seconds left,
**   thing:timeout([timeout]) -> the same, thing:park([timeout]) waits for nothing, thing:close()
**   result(code, what), own_result(code), through(value) -> copy, tickets
**   foreign(n), light(): userdata of other libraries
**   behind(f): what f returns or raises in a child that was made behind everyone's back
**   starve(code, n) -> true, or false and the error: runs it in a Lua state of its own that gets no
**   memory from the n-th time on that it asks for some
*/
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lualib.h>

#include "src/binding/binding.h"
#include "src/core/clock.h"
#include "src/core/park.h"

struct thing {
  struct mp_lua_handle base;
  int begun;
};

static bool is_plain(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return mp_array_shape_of(h).count == 1;
}
static bool is_special(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return mp_array_shape_of(h).count == 2;
}
static void thing_begin(struct mp_lua_handle *u) {
  ((struct thing *)(void *)u)->begun = 1;
}
static void thing_show(lua_State *L, struct mp_lua_handle *u) {
  lua_pushfstring(L, "%d", ((struct thing *)(void *)u)->begun);
}

static const struct mp_lua_type thing_type = {
  .name = "Thing", .noun = "thing", .kind = MP_KIND_ARRAY, .size = sizeof(struct thing),
  .owns = is_plain, .show = thing_show, .begin = thing_begin};
static const struct mp_lua_type special_type = {
  .name = "Special", .noun = "special thing", .kind = MP_KIND_ARRAY, .base = &thing_type,
  .size = sizeof(struct thing), .owns = is_special};
static const struct mp_lua_type stay_type = {
  .name = "Stay", .noun = "stay", .stays = "a Stay cannot be sent"};

static int make(lua_State *L, const struct mp_lua_type *type, size_t count) {
  const mp_array_options o = {.code = 'i', .count = count};
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_handle *u = mp_lua_handle_new(L, type);
  mp_lua_result(L, mp_array_new(c, &o, &u->handle), type->name);
  return 1;
}
static int thing_new(lua_State *L) {
  return make(L, &thing_type, 1);
}
static int special_new(lua_State *L) {
  return make(L, &special_type, 2);
}
static int stay_new(lua_State *L) {
  return make(L, &stay_type, 3);
}

static int thing_touch(lua_State *L) {
  lua_pushboolean(L, mp_lua_handle_check(L, 1, &thing_type)->handle != NULL);
  return 1;
}

static int push_deadline(lua_State *L, mp_deadline until) {
  if (until == MP_FOREVER) lua_pushliteral(L, "forever");
  else if (until == MP_NOW) lua_pushliteral(L, "now");
  else lua_pushnumber(L, (lua_Number)mp_clock_left(until) / 1e9);
  return 1;
}
static int thing_wait(lua_State *L) {
  mp_lua_handle_check(L, 1, &thing_type);
  return push_deadline(L, mp_lua_block_timeout(L, 2));
}
static int thing_timeout(lua_State *L) {
  mp_lua_handle_check(L, 1, &thing_type);
  return push_deadline(L, mp_lua_timeout(L, 2));
}

/* As a core function waits: until the deadline, or until it is interrupted. */
static int wait_in_vain(struct mp_context *c, mp_deadline until) {
  static struct mp_park park;
  unsigned nap = 0;
  for (;;) {
    uint32_t seq = mp_park_ticket(&park);
    int r = mp_park_wait(c, &park, seq, until, &nap);
    if (r != 0) return r;
  }
}
static int thing_park(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &thing_type);
  mp_deadline until = mp_lua_timeout(L, 2);
  int r;
  do r = wait_in_vain(u->state->context, until);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  lua_pushboolean(L, r == MP_TIMEOUT);
  return 1;
}

static int thing_close(lua_State *L) {
  mp_lua_handle_close(L, mp_lua_handle_check_any(L, 1, &thing_type));
  return 0;
}

static int result(lua_State *L) {
  mp_lua_result(L, (int)luaL_checkinteger(L, 1), luaL_checkstring(L, 2));
  return 0;
}
static int own_result(lua_State *L) {
  static const struct mp_lua_condition own[] = {{MP_CLOSED, "EOFError", "the other end is gone"},
                                                {0, NULL, NULL}};
  mp_lua_result_as(L, (int)luaL_checkinteger(L, 1), "recv", own);
  return 0;
}

/* Values through the session's own form: encode, and decode what came out. */
static int through(lua_State *L) {
  struct mp_lua_parcel p;
  luaL_Buffer b;
  mp_lua_encode_value(L, 1, "value", &p);
  luaL_buffinit(L, &b);
  luaL_addlstring(&b, (const char *)p.parcel.bytes, p.parcel.length);
  luaL_addlstring(&b, (const char *)p.parcel.tail, p.parcel.tail_length);
  luaL_pushresult(&b);
  mp_lua_encode_done(&p);
  size_t n;
  const char *bytes = lua_tolstring(L, -1, &n);
  int values = mp_lua_decode(L, bytes, n, MP_CODEC_FULL);
  lua_pushinteger(L, (lua_Integer)p.parcel.ticket_count);
  return values + 1;
}

/* A userdata of another library, of n bytes; and a pointer that is no userdata of ours. */
static int foreign(lua_State *L) {
  size_t n = (size_t)luaL_checkinteger(L, 1);
  memset(lua_newuserdatauv(L, n, 0), 0x5a, n);
  return 1;
}
static int light(lua_State *L) {
  lua_pushlightuserdata(L, (void *)8);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_binding_test(lua_State *L);

/* No fork handler runs for a bare clone. */
static int behind(lua_State *L) {
  int fds[2], status;
  char text[256];
  if (pipe(fds) != 0) return luaL_error(L, "pipe");
  long pid = syscall(SYS_clone, (unsigned long)SIGCHLD, 0UL, NULL, NULL, 0UL);
  if (pid == 0) {
    (void)lua_pcall(L, 0, 1, 0);
    size_t n;
    const char *s = luaL_tolstring(L, -1, &n);
    _exit(write(fds[1], s, n < sizeof text ? n : sizeof text) < 0);
  }
  close(fds[1]);
  ssize_t got = read(fds[0], text, sizeof text);
  close(fds[0]);
  (void)waitpid((pid_t)pid, &status, 0);
  lua_pushlstring(L, text, got > 0 ? (size_t)got : 0);
  return 1;
}

/* Counts down at each request for memory; at 0 there is none any more. */
static void *meagre(void *left, void *block, size_t old, size_t size) {
  long *n = (long *)left;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if ((block == NULL || size > old) && *n >= 0 && --*n < 0) *n = 0;
  if ((block == NULL || size > old) && *n == 0) return NULL;
  return realloc(block, size);
}

static int starving(lua_State *L) {
  long *left = (long *)lua_touserdata(L, 1);
  long n = (long)lua_tointeger(L, 2);
  luaL_openlibs(L);
  luaL_requiref(L, "multiprocessing.core", luaopen_binding_test, 0);
  if (luaL_loadstring(L, (const char *)lua_touserdata(L, 3)) != LUA_OK) return lua_error(L);
  *left = n;
  lua_call(L, 0, 0);
  return 0;
}

#if LUA_VERSION_NUM >= 505
#define NEW_STATE(f, p) lua_newstate(f, p, 1)
#else
#define NEW_STATE(f, p) lua_newstate(f, p)
#endif

static int starve(lua_State *L) {
  long left = -1;
  lua_State *S = NEW_STATE(meagre, &left);
  if (S == NULL) return luaL_error(L, "no state");
  lua_pushcfunction(S, starving);
  lua_pushlightuserdata(S, &left);
  lua_pushinteger(S, luaL_checkinteger(L, 2));
  lua_pushlightuserdata(S, (void *)(uintptr_t)luaL_checkstring(L, 1));
  lua_pushboolean(L, lua_pcall(S, 3, 0, 0) == LUA_OK);
  left = -1;
  lua_pushstring(L, lua_gettop(S) > 0 ? luaL_tolstring(S, -1, NULL) : "");
  lua_close(S);
  return 2;
}

static const luaL_Reg methods[] = {{"touch", thing_touch}, {"wait", thing_wait},
                                   {"timeout", thing_timeout}, {"park", thing_park},
                                   {"close", thing_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"thing", thing_new}, {"special", special_new},
                                     {"stay", stay_new}, {"result", result},
                                     {"own_result", own_result}, {"through", through},
                                     {"foreign", foreign}, {"light", light},
                                     {"behind", behind}, {"starve", starve}, {NULL, NULL}};

int luaopen_binding_test(lua_State *L) {
  luaopen_multiprocessing_core(L);
  mp_lua_type(L, &thing_type, methods, NULL);
  mp_lua_type(L, &special_type, NULL, NULL);
  mp_lua_type(L, &stay_type, NULL, NULL);
  mp_lua_functions(L, functions);
  return 1;
}
