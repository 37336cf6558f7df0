/*
** Processes: a userdata for each handle of the core, and what a forked child needs of its Lua
** state.
**
** The rest is lua/multiprocessing/process.lua and child.lua. A child's Ctrl-C is ours: the host's
** handlers are gone there, so a handler like lua.c's sets a hook that raises "interrupted!" in the
** thread that runs the body, and in the main thread. A second Ctrl-C before that could be raised
** kills. The handler can know one Lua state only; in a child that is the one that was forked. The
** child's stack still has its parent's program on it, with its protected calls: nothing may raise
** through child_run, and no hook may run between the fork and there.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/os.h"
#include "binding.h"
#include "nouns.h"

/* A full userdata; NULL: closed. */
struct process {
  mp_process *handle;
};

static const char process_type[] = "multiprocessing.process";

static _Noreturn int process_end(struct mp_lua_state *s, int status) {
  if (s->context != NULL && mp_context_valid(s->context)) mp_process_exit(s->context, status);
  mp_os_flush();
  mp_os_exit(status);
}

/* ---- Ctrl-C in a child ---- */

struct hook {
  lua_Hook function;
  int mask, count;
};

/* private; of a child process */
static struct {
  struct mp_lua_state *state;
  lua_State *main, *body;
  struct hook main_hook, body_hook; /* as the parent left them, until the body runs */
  volatile int begun;               /* an error would be caught: the body runs */
  volatile int asked;               /* Ctrl-C came and was not raised yet */
} child;

static void child_raise(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(child.main, NULL, 0, 0);
  lua_sethook(child.body, NULL, 0, 0);
  child.asked = 0;
  luaL_error(L, "interrupted!");
}

static struct hook hook_take(lua_State *L) {
  struct hook h = {lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L)};
  lua_sethook(L, NULL, 0, 0);
  return h.function != child_raise ? h : (struct hook){NULL, 0, 0}; /* it is not for us */
}

static void hook_put(lua_State *L, const struct hook *h) {
  lua_sethook(L, h->function, h->mask, h->count);
}

/* Async-signal-safe: lua_sethook is made for handlers. */
static void child_set_hooks(void) {
  int events = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  lua_sethook(child.main, child_raise, events, 1);
  lua_sethook(child.body, child_raise, events, 1);
}

static void child_interrupted(int sig) {
  if (child.asked) {
    mp_os_signal_reset(sig);
    (void)mp_os_signal_process(mp_os_pid(), -1, sig);
    return;
  }
  child.asked = 1;
  if (child.begun) child_set_hooks();
}

/* With signals blocked. Until the body runs, an error would unwind into what was the parent's
** program, so no hook may run. */
static void child_born(void *state) {
  child.state = (struct mp_lua_state *)state;
  child.body = child.state->running;
  child.main = child.state->main;
  child.begun = child.asked = 0;
  child.body_hook = hook_take(child.body);
  child.main_hook = child.body != child.main ? hook_take(child.main) : child.body_hook;
}

/* arguments of process_start */
enum { NAME = 1, NUMBER, PREFIX, DAEMON, BODY, HANDLER, REPORT, OBJECT, CHILDREN };

/* Calls body(object, two random numbers) as xpcall does with the handler, then, if it failed,
** report(object, message), and ends this process. Nothing gets out of it. */
static _Noreturn void child_run(lua_State *L, const lua_Integer seed[2]) {
  lua_pushvalue(L, BODY);
  lua_pushvalue(L, OBJECT);
  lua_pushinteger(L, seed[0]);
  lua_pushinteger(L, seed[1]);
  hook_put(child.main, &child.main_hook);
  hook_put(L, &child.body_hook);
  child.begun = 1;
  if (child.asked) child_set_hooks();
  int failed = lua_pcall(L, 3, 0, HANDLER) != LUA_OK;
  child.begun = 0;
  (void)hook_take(L);
  (void)hook_take(child.main);
  if (failed) {
    lua_pushvalue(L, REPORT);
    lua_pushvalue(L, OBJECT);
    lua_pushvalue(L, -3); /* the message */
    (void)lua_pcall(L, 2, 0, 0);
  }
  process_end(child.state, failed);
}

/* ---- start and end ---- */

static struct process *process_new(lua_State *L) {
  struct process *u = (struct process *)lua_newuserdatauv(L, sizeof *u, 0);
  u->handle = NULL;
  luaL_setmetatable(L, process_type);
  return u;
}

static void start_failed(lua_State *L, int r) {
  if (r == -EUSERS)
    mp_lua_raise(L, "ProcessError", "this session has as many processes as it can: %d",
                 (int)MP_PARTICIPANTS);
  mp_lua_result(L, r, "starting a process");
}

/* The name for the process table: `name`, or, with a number, name-prefixnumber, cut where the
** table's names end. It is put together here because a string of Lua's would be another page to
** write. */
static const char *start_name(lua_State *L, char text[MP_SLOT_NAME]) {
  const char *name = luaL_optstring(L, NAME, NULL);
  int number = (int)luaL_optinteger(L, NUMBER, 0);
  if (number == 0) return name;
  (void)snprintf(text, MP_SLOT_NAME, "%s-%s%d", name, luaL_checkstring(L, PREFIX), number);
  return text;
}

/* The first free place in the list of children, made there: to fill it needs no memory. */
static lua_Integer place_find(lua_State *L) {
  lua_Integer place = 0;
  if (!lua_istable(L, CHILDREN)) return 0;
  for (int taken = 1; taken; lua_pop(L, 1)) {
    lua_rawgeti(L, CHILDREN, ++place);
    taken = lua_toboolean(L, -1);
  }
  lua_pushboolean(L, 0);
  lua_rawseti(L, CHILDREN, place);
  return place;
}

/* process_start(name, number, prefix, daemon, body, handler, report, object, children): handle,
** pid, and the place of the object in the list `children`, where false is a free one; the child
** runs the body and never comes back. Without a body it is a bare fork, and the child gets
** nothing. */
static int process_start(lua_State *L) {
  struct mp_context *c = mp_lua_context(L);
  char name[MP_SLOT_NAME];
  lua_settop(L, CHILDREN);
  lua_Integer place = place_find(L);
  luaL_checkstack(L, 8, NULL);
  mp_process_options o = {start_name(L, name), lua_toboolean(L, DAEMON), lua_isnil(L, BODY),
                          child_interrupted, child_born, mp_lua_state_of(L)};
  struct process *u = process_new(L);
  mp_process *p;
  lua_Integer seed[2]; /* drawn here, where the function for it is in memory */
  mp_lua_result(L, mp_os_random(seed, sizeof seed), "starting a process");
  int r = mp_process_start(c, &o, &p);
  if (r == MP_LOST) mp_os_exit(255); /* the child of a parent that has ended before it began */
  if (r != 0) start_failed(L, r);
  if (p == NULL && !o.copy) child_run(L, seed);
  if (p == NULL) return 0;
  u->handle = p;
  lua_pushinteger(L, mp_process_id(p));
  if (place == 0) return 2;
  lua_pushvalue(L, OBJECT);
  lua_rawseti(L, CHILDREN, place);
  lua_pushinteger(L, place);
  return 3;
}

/* process_leave(children, place, object): the place is free if it is the object's still; no hook
** runs between the look and the change. */
static int process_leave(lua_State *L) {
  lua_settop(L, 3);
  lua_Integer place = luaL_optinteger(L, 2, 0);
  lua_rawgeti(L, 1, place);
  if (!lua_rawequal(L, 3, 4)) return 0;
  lua_pushboolean(L, 0);
  lua_rawseti(L, 1, place);
  return 0;
}

/* process_exit(status): of a child. */
static int process_exit(lua_State *L) {
  return process_end(mp_lua_state_of(L), (int)luaL_checkinteger(L, 1));
}

/* process_parent(): a handle for who has started this process, or nil. */
static int process_parent(lua_State *L) {
  struct process *u = process_new(L);
  int r = mp_process_parent(mp_lua_context(L), &u->handle);
  if (r == -ESRCH) return 0;
  mp_lua_result(L, r, "parent_process");
  return 1;
}

/* process_reap(): what has ended among the children that nobody has a handle of. */
static int process_reap(lua_State *L) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  if (s->context != NULL && mp_context_valid(s->context)) (void)mp_process_reap(s->context);
  return 0;
}

static int process_finish_at_exit(lua_State *L) {
  mp_lua_result(L, mp_process_finish_at_exit(mp_lua_context(L)), "finish_at_exit");
  return 0;
}

/* finishes_at_exit(): is the end of this state to wait for what it has started? */
static int process_finishes_at_exit(lua_State *L) {
  const struct mp_lua_state *s = mp_lua_state_of(L);
  lua_pushboolean(L, s->context != NULL && mp_context_valid(s->context) && s->context->finishes);
  return 1;
}

void mp_lua_process_end(struct mp_lua_state *s) {
  struct mp_context *c = s->context;
  if (c == NULL) return;
  if (mp_context_valid(c) && c->finishes) mp_process_finish(c);
  mp_process_abandon(c);
}

/* ---- handles ---- */

static struct process *process_check(lua_State *L) {
  struct process *u = (struct process *)luaL_checkudata(L, 1, process_type);
  if (u->handle == NULL) mp_lua_raise(L, "ValueError", "process object is closed");
  struct mp_lua_state *s = mp_lua_state_of(L);
  if (s->running != L) s->running = L;
  return u;
}

/* nothing while it runs; the exit code, and whether it is known: else it is 255. */
static int process_exit_code(lua_State *L) {
  struct process *u = process_check(L);
  int code = 255, r = mp_process_exit_code(u->handle, &code);
  if (r == MP_TIMEOUT) return 0;
  if (r != MP_LOST) mp_lua_result(L, r, "exitcode");
  lua_pushinteger(L, code);
  lua_pushboolean(L, r == 0);
  return 2;
}

/* join([timeout]): false, or true and what exit_code gives. */
static int process_join(lua_State *L) {
  struct process *u = process_check(L);
  mp_deadline until = mp_lua_timeout(L, 2);
  int r;
  do r = mp_process_join(u->handle, until);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  lua_pushboolean(L, r == 0);
  if (r == MP_TIMEOUT) return 1;
  mp_lua_result(L, r, "join");
  return 1 + process_exit_code(L);
}

static int process_signal(lua_State *L) {
  struct process *u = process_check(L);
  mp_lua_result(L, mp_process_signal(u->handle, (int)luaL_checkinteger(L, 2)),
                "signalling a process");
  return 0;
}

static int process_sentinel(lua_State *L) {
  struct process *u = process_check(L);
  int fd;
  mp_lua_result(L, mp_process_sentinel(u->handle, &fd), "sentinel");
  lua_pushinteger(L, fd);
  return 1;
}

static int process_id(lua_State *L) {
  lua_pushinteger(L, mp_process_id(process_check(L)->handle));
  return 1;
}

static int process_close(lua_State *L) {
  struct process *u = (struct process *)luaL_checkudata(L, 1, process_type);
  u->handle = mp_process_close(u->handle);
  return 0;
}

/* ---- what process.lua asks of C besides ---- */

static const struct mp_lua_option constructor_options[] = {
  {"group", MP_LUA_ANY},    {"target", MP_LUA_FUNCTION}, {"name", MP_LUA_STRING},
  {"args", MP_LUA_TABLE},   {"kwargs", MP_LUA_TABLE},    {"daemon", MP_LUA_BOOLEAN},
  {NULL, MP_LUA_ANY}};

/* process_options(...): target, name, args, kwargs, daemon of mp.Process's arguments. */
static int process_options(lua_State *L) {
  mp_lua_options(L, 1, constructor_options);
  if (lua_isfunction(L, 1))
    mp_lua_raise(L, "TypeError", "the first argument is group, which must not be a function: "
                 "say mp.Process{target = f}");
  return 5;
}

/* random_bytes(n), from the system. */
static int process_random_bytes(lua_State *L) {
  unsigned char bytes[64];
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= (lua_Integer)sizeof bytes, 1, "too many");
  mp_lua_result(L, mp_os_random(bytes, (size_t)n), "random_bytes");
  lua_pushlstring(L, (const char *)bytes, (size_t)n);
  return 1;
}

/* reseed(f): calls f with two random integers. */
static int process_reseed(lua_State *L) {
  lua_Integer seed[2];
  mp_lua_result(L, mp_os_random(seed, sizeof seed), "reseed");
  lua_settop(L, 1);
  lua_pushinteger(L, seed[0]);
  lua_pushinteger(L, seed[1]);
  lua_call(L, 2, 0);
  return 0;
}

/* threads(): how many this process has; 0: unknown. */
static int process_threads(lua_State *L) {
  lua_pushinteger(L, mp_os_threads());
  return 1;
}

/* executable(): the file that this process runs, or nil. */
static int process_executable(lua_State *L) {
  char path[4096];
  if (mp_os_executable(path, sizeof path) != 0) return 0;
  lua_pushstring(L, path);
  return 1;
}

/* raise(kind, text): an error object at the line of the caller of our Lua files. */
static int process_raise(lua_State *L) {
  const char *kind = luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  return mp_lua_raise_text(L, kind);
}

static const luaL_Reg process_methods[] = {{"join", process_join},
                                           {"exit_code", process_exit_code},
                                           {"signal", process_signal},
                                           {"sentinel", process_sentinel},
                                           {"pid", process_id},
                                           {"close", process_close},
                                           {NULL, NULL}};

static const luaL_Reg process_functions[] = {{"process_start", process_start},
                                             {"process_leave", process_leave},
                                             {"process_exit", process_exit},
                                             {"process_parent", process_parent},
                                             {"process_reap", process_reap},
                                             {"process_options", process_options},
                                             {"finish_at_exit", process_finish_at_exit},
                                             {"finishes_at_exit", process_finishes_at_exit},
                                             {"random_bytes", process_random_bytes},
                                             {"reseed", process_reseed},
                                             {"threads", process_threads},
                                             {"executable", process_executable},
                                             {"raise", process_raise},
                                             {NULL, NULL}};

void mp_lua_open_process(lua_State *L) {
  luaL_newmetatable(L, process_type);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, process_close);
  lua_setfield(L, -2, "__gc");
  luaL_setfuncs(L, process_methods, 0);
  lua_pop(L, 1);
  mp_lua_functions(L, process_functions);
}
