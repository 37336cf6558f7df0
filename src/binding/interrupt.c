/*
** Interruption: Ctrl-C, and whatever else comes as a hook, reaches a call that waits.
**
** A signal handler of Lua's kind (lua.c's for SIGINT) sets a debug hook that raises an error at
** the next instruction in Lua; a call that waits in C executes none. So the core asks, after each
** signal and each capped nap, whether a hook is there that it has not met; if so it returns
** MP_INTERRUPTED with nothing changed, and mp_lua_interrupt calls a Lua function that does
** nothing: on its way the hook runs. A hook that stays (a debugger's, a profiler's) is remembered
** and interrupts once. Handlers set the hook of the main thread, though a coroutine may be the one
** that waits; then the function is called on the main thread's stack, and its error raised here.
*/
#include <string.h>

#include "../core/clock.h"
#include "../core/os.h"
#include "binding.h"
#include "nouns.h"

#define MESSAGE "interrupted!" /* lua.c's own words */
#define NAP INT64_C(500000000) /* a signal between a look and a sleep is noticed after this, ns */

static bool hook_is_new(lua_State *L, lua_Hook *known) {
  lua_Hook hook = lua_gethook(L);
  if (hook == NULL) *known = NULL;
  return hook != *known;
}

int mp_lua_interrupted(void *state) {
  struct mp_lua_state *s = (struct mp_lua_state *)state;
  if (s->pending != 0 || hook_is_new(s->main, &s->known_main)) return 1;
  return s->running != s->main && hook_is_new(s->running, &s->known_running);
}

/* Runs the hook of the main thread, which has resumed the coroutine L. */
static void run_main_hook(lua_State *L, lua_State *main) {
  if (!lua_checkstack(main, 4)) luaL_error(L, MESSAGE);
  mp_lua_trampoline(main);
  if (lua_pcall(main, 0, 0, 0) == LUA_OK) return;
  lua_xmove(main, L, 1);
  lua_error(L);
}

static void run_hook(lua_State *L) {
  mp_lua_trampoline(L);
  lua_call(L, 0, 0);
}

bool mp_lua_interrupt(lua_State *L) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  luaL_checkstack(L, 4, NULL);
  s->running = L;
  if (s->pending != 0) {
    s->pending = 0;
    luaL_error(L, MESSAGE);
  }
  if (L != s->main) {
    if (hook_is_new(s->main, &s->known_main)) run_main_hook(L, s->main);
    if (hook_is_new(L, &s->known_running)) run_hook(L);
    s->known_running = lua_gethook(L);
  } else if (hook_is_new(L, &s->known_main)) {
    run_hook(L);
  }
  s->known_main = lua_gethook(s->main);
  return true;
}

void mp_lua_sleep(lua_State *L, mp_deadline until) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  s->running = L;
  do {
    (void)mp_os_poll(NULL, 0, mp_clock_cap(until, NAP));
    if (mp_lua_interrupted(s)) (void)mp_lua_interrupt(L);
  } while (mp_clock_left(until) > 0);
}

bool mp_lua_is_interruption(lua_State *L, int index) {
  const size_t length = sizeof MESSAGE - 1;
  size_t n;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
  if (text == NULL || n < length) return false;
  if (strcmp(text + n - length, MESSAGE) == 0) return true;
  return strstr(text, MESSAGE "\nstack traceback:") != NULL;
}

/* is_interruption(err) */
static int is_interruption(lua_State *L) {
  lua_pushboolean(L, mp_lua_is_interruption(L, 1));
  return 1;
}

static const luaL_Reg interrupt_functions[] = {{"is_interruption", is_interruption}, {NULL, NULL}};

void mp_lua_open_interrupt(lua_State *L) {
  mp_lua_functions(L, interrupt_functions);
}
