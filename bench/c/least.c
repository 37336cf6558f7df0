/*
 * The Lua module `least`: the bare things, each the least Lua and C that does it at all.
 *
 * What a call of ours costs beyond this is what it adds: crash safety, time-outs, encoding. Nothing
 * here survives a killed process, waits with a limit, or checks more than its userdata's type.
 * `least.now` is also the clock of every Lua program of the bench.
 */
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <string.h>

#include "futex_lock.h"

#define EXPORT __attribute__((visibility("default")))

enum { RING_BYTES = 16 << 20, TAG_INTEGER = 0, TAG_STRING = 1, SPINS = 2000 };

EXPORT int luaopen_least(lua_State *L);

/* Process and clock. */

static int least_now(lua_State *L) {
  lua_pushnumber(L, floor_now());
  return 1;
}

static int least_fork(lua_State *L) {
  pid_t pid = fork();
  if (pid < 0)
    return luaL_error(L, "fork failed");
  lua_pushinteger(L, pid);
  return 1;
}

/* Without lua_close and without atexit handlers: the child is a copy. */
static int least_exit(lua_State *L) {
  _exit((int)luaL_optinteger(L, 1, 0));
}

static int least_wait(lua_State *L) {
  int status;
  if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0 || status != 0)
    return luaL_error(L, "a worker failed");
  return 0;
}

static int least_pause(lua_State *L) {
  (void)L;
  pause();
  return 0;
}

static int least_kill(lua_State *L) {
  kill((pid_t)luaL_checkinteger(L, 1), SIGKILL);
  waitpid((pid_t)luaL_checkinteger(L, 1), NULL, 0);
  return 0;
}

/* The userdata holds the address of its shared memory, which lives as long as the program. */

static void *share_new(lua_State *L, size_t bytes, const char *type) {
  void **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = floor_share(bytes);
  luaL_setmetatable(L, type);
  return *box;
}

static void *share_check(lua_State *L, const char *type) {
  return *(void **)luaL_checkudata(L, 1, type);
}

/* A pair of methods that do nothing: what calling C from Lua costs. */

static int pair_new(lua_State *L) {
  lua_newuserdatauv(L, 1, 0);
  luaL_setmetatable(L, "least.pair");
  return 1;
}

static int pair_acquire(lua_State *L) {
  luaL_checkudata(L, 1, "least.pair");
  lua_pushboolean(L, 1);
  return 1;
}

static int pair_release(lua_State *L) {
  luaL_checkudata(L, 1, "least.pair");
  return 0;
}

/* A lock of one shared word. */

static int lock_new(lua_State *L) {
  share_new(L, sizeof(_Atomic uint32_t), "least.lock");
  return 1;
}

static int lock_acquire(lua_State *L) {
  futex_lock_acquire(share_check(L, "least.lock"));
  lua_pushboolean(L, 1);
  return 1;
}

static int lock_release(lua_State *L) {
  futex_lock_release(share_check(L, "least.lock"));
  return 0;
}

/* A number in shared memory with the field `value`; no lock. */

static int number_new(lua_State *L) {
  share_new(L, sizeof(double), "least.number");
  return 1;
}

static void number_field(lua_State *L) {
  if (strcmp(luaL_checkstring(L, 2), "value") != 0)
    luaL_error(L, "no such field");
}

static int number_index(lua_State *L) {
  const volatile double *number = share_check(L, "least.number");
  number_field(L);
  lua_pushnumber(L, *number);
  return 1;
}

static int number_newindex(lua_State *L) {
  volatile double *number = share_check(L, "least.number");
  number_field(L);
  *number = luaL_checknumber(L, 3);
  return 0;
}

/* A ring of bytes with one producer and one consumer, who spin and then yield the processor. */

struct ring {
  _Alignas(64) _Atomic size_t written; /* by the producer; never wraps */
  _Alignas(64) _Atomic size_t taken;   /* by the consumer */
  _Alignas(64) unsigned char bytes[RING_BYTES];
};

struct header {
  uint32_t tag, length;
};

static int ring_new(lua_State *L) {
  share_new(L, sizeof(struct ring), "least.ring");
  return 1;
}

static void ring_pause(int *spins) {
  if (++*spins < SPINS)
    __builtin_ia32_pause();
  else
    syscall(SYS_sched_yield);
}

static size_t ring_copy_in(struct ring *r, size_t at, const void *from, size_t n) {
  size_t i = at % RING_BYTES, first = n < RING_BYTES - i ? n : RING_BYTES - i;
  memcpy(r->bytes + i, from, first);
  memcpy(r->bytes, (const unsigned char *)from + first, n - first);
  return at + n;
}

static size_t ring_copy_out(struct ring *r, size_t at, void *to, size_t n) {
  size_t i = at % RING_BYTES, first = n < RING_BYTES - i ? n : RING_BYTES - i;
  memcpy(to, r->bytes + i, first);
  memcpy((unsigned char *)to + first, r->bytes, n - first);
  return at + n;
}

static int ring_put(lua_State *L) {
  struct ring *r = share_check(L, "least.ring");
  lua_Integer integer = 0;
  size_t length = sizeof integer, at = atomic_load_explicit(&r->written, memory_order_relaxed);
  const void *from = &integer;
  struct header h = {TAG_INTEGER, sizeof integer};
  int spins = 0;
  if (lua_isinteger(L, 2)) {
    integer = lua_tointeger(L, 2);
  } else {
    from = luaL_checklstring(L, 2, &length);
    h = (struct header){TAG_STRING, (uint32_t)length};
  }
  while (at + sizeof h + length - atomic_load_explicit(&r->taken, memory_order_acquire) > RING_BYTES)
    ring_pause(&spins);
  at = ring_copy_in(r, at, &h, sizeof h);
  at = ring_copy_in(r, at, from, length);
  atomic_store_explicit(&r->written, at, memory_order_release);
  return 0;
}

/* Straight from the ring where the bytes lie in one piece: one copy instead of two. */
static size_t ring_push_string(lua_State *L, struct ring *r, size_t at, size_t length) {
  luaL_Buffer b;
  if (length <= RING_BYTES - at % RING_BYTES) {
    lua_pushlstring(L, (const char *)r->bytes + at % RING_BYTES, length);
    return at + length;
  }
  at = ring_copy_out(r, at, luaL_buffinitsize(L, &b, length), length);
  luaL_pushresultsize(&b, length);
  return at;
}

static int ring_get(lua_State *L) {
  struct ring *r = share_check(L, "least.ring");
  size_t at = atomic_load_explicit(&r->taken, memory_order_relaxed);
  lua_Integer integer;
  struct header h;
  int spins = 0;
  while (atomic_load_explicit(&r->written, memory_order_acquire) == at)
    ring_pause(&spins);
  at = ring_copy_out(r, at, &h, sizeof h);
  if (h.tag == TAG_INTEGER) {
    at = ring_copy_out(r, at, &integer, sizeof integer);
    lua_pushinteger(L, integer);
  } else {
    at = ring_push_string(L, r, at, h.length);
  }
  atomic_store_explicit(&r->taken, at, memory_order_release);
  return 1;
}

/* The module. */

static const luaL_Reg functions[] = {
    {"now", least_now},   {"fork", least_fork}, {"exit", least_exit},     {"wait", least_wait},
    {"pause", least_pause}, {"kill", least_kill}, {"pair", pair_new},     {"lock", lock_new},
    {"number", number_new}, {"ring", ring_new}, {NULL, NULL},
};

static const luaL_Reg pair_methods[] = {
    {"acquire", pair_acquire}, {"release", pair_release}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {
    {"acquire", lock_acquire}, {"release", lock_release}, {NULL, NULL}};
static const luaL_Reg ring_methods[] = {{"put", ring_put}, {"get", ring_get}, {NULL, NULL}};
static const luaL_Reg number_metamethods[] = {
    {"__index", number_index}, {"__newindex", number_newindex}, {NULL, NULL}};

static void register_type(lua_State *L, const char *type, const luaL_Reg *methods) {
  luaL_newmetatable(L, type);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_least(lua_State *L) {
  register_type(L, "least.pair", pair_methods);
  register_type(L, "least.lock", lock_methods);
  register_type(L, "least.ring", ring_methods);
  luaL_newmetatable(L, "least.number");
  luaL_setfuncs(L, number_metamethods, 0);
  luaL_newlib(L, functions);
  return 1;
}
