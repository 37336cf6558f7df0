/*
** The host: time, sleep, process numbers and processors. Needs no shared memory.
*/
#include <math.h>
#include <time.h>

#include "../core/clock.h"
#include "../core/os.h"
#include "binding.h"
#include "nouns.h"

/* pause(seconds): sleeps, and nothing else. */
static int host_pause(lua_State *L) {
  mp_lua_sleep(L, mp_lua_seconds(L, 1, "seconds"));
  return 0;
}

static const char sleeper_key; /* its address is the key of the function set by sleep_by */

/* sleep(seconds): pause, or what sleep_by was given. */
static int host_sleep(lua_State *L) {
  if (lua_type(L, 1) != LUA_TNUMBER) mp_lua_raise_type(L, 1, "number");
  (void)mp_lua_seconds(L, 1, "seconds");
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &sleeper_key) == LUA_TNIL) return host_pause(L);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 0);
  return 0;
}

/* sleep_by(f): from now on sleep(seconds) calls f(seconds), which has to pass the time in its own
** way, for it has callbacks to run meanwhile; nil: no longer. */
static int host_sleep_by(lua_State *L) {
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &sleeper_key);
  return 0;
}

static int host_time(lua_State *L) {
  struct timespec t = {0, 0};
  (void)timespec_get(&t, TIME_UTC);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
  return 1;
}

static int host_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mp_clock_now() / 1e9);
  return 1;
}

static int host_getpid(lua_State *L) {
  const struct mp_context *c = mp_lua_state_of(L)->context;
  lua_pushinteger(L, c != NULL && mp_context_valid(c) ? c->pid : mp_os_pid());
  return 1;
}

static int host_getppid(lua_State *L) {
  lua_pushinteger(L, mp_os_parent_pid());
  return 1;
}

static int host_cpu_count(lua_State *L) {
  lua_pushinteger(L, mp_os_cpu_count());
  return 1;
}

static int host_process_cpu_count(lua_State *L) {
  lua_pushinteger(L, mp_os_cpu_allowed());
  return 1;
}

/* is_terminal(descriptor) */
static int host_is_terminal(lua_State *L) {
  lua_pushboolean(L, mp_os_is_terminal((int)luaL_checkinteger(L, 1)));
  return 1;
}

static const luaL_Reg host_functions[] = {{"sleep", host_sleep},
                                          {"pause", host_pause},
                                          {"sleep_by", host_sleep_by},
                                          {"time", host_time},
                                          {"monotonic", host_monotonic},
                                          {"getpid", host_getpid},
                                          {"getppid", host_getppid},
                                          {"cpu_count", host_cpu_count},
                                          {"process_cpu_count", host_process_cpu_count},
                                          {"is_terminal", host_is_terminal},
                                          {NULL, NULL}};

void mp_lua_open_host(lua_State *L) {
  mp_lua_functions(L, host_functions);
}
