/*
** Pool: a userdata for its creator's grip on a pool. Making it, and ending it.
**
** The core has the tasks and watches the workers; here are the Lua values. A pool belongs to the
** process that has made it: in any other its handle does nothing, not even at its end.
*/
#include "pool.h"

#include <errno.h>

#include "nouns.h"

/* ---- the creator ---- */

static bool pool_is_ours(const struct pool *p) {
  return p->started && p->base.state->context->tag == p->creator;
}

bool mp_lua_pool_is_ours(const struct pool *p) {
  const struct mp_lua_handle *u = &p->base;
  return u->handle != NULL && mp_context_valid(u->state->context) && pool_is_ours(p);
}

struct pool *mp_lua_pool_check(lua_State *L, int arg) {
  struct pool *p = (struct pool *)mp_lua_handle_check(L, arg, &mp_lua_pool_type);
  if (!pool_is_ours(p))
    mp_lua_raise(L, "ProcessError", "a pool can be used by the process that made it (pid %d) only",
                 (int)p->creator_pid);
  return p;
}

void mp_lua_pool_book(lua_State *L, int pool, enum pool_book page) {
  lua_getiuservalue(L, pool, (int)page);
}

/* The pool is given up: it ends by itself. In a forked child only what the child has of it goes. */
static void pool_end(struct mp_lua_handle *u) {
  struct pool *p = (struct pool *)u;
  bool ours = pool_is_ours(p);
  if (ours) {
    mp_pool_leave(mp_handle_share(u->handle));
    mp_supervisor_notify(&p->supervisor);
  }
  if (p->started) mp_supervisor_close(&p->supervisor);
  p->started = false;
}

static const char *const states[] = {"running", "closed", "terminated", "broken"};

static void pool_show(lua_State *L, struct mp_lua_handle *u) {
  const struct pool *p = (const struct pool *)u;
  lua_pushfstring(L, "%d worker%s, %s", (int)p->workers, p->workers == 1 ? "" : "s",
                  states[mp_pool_state(u->handle)]);
}

const struct mp_lua_type mp_lua_pool_type = {.name = "Pool",
                                             .noun = "pool",
                                             .kind = MP_KIND_POOL,
                                             .size = sizeof(struct pool),
                                             .values = BOOK_PAGES,
                                             .end = pool_end,
                                             .show = pool_show,
                                             .stays = "a Pool cannot be sent"};

/* ---- making ---- */

#define GLOBALS_EXPECTED 64 /* Lua's own are half of them; a table that grows writes more pages */

/* A table with the names of all globals, which the workers will have. */
static void push_present(lua_State *L) {
  lua_createtable(L, 0, GLOBALS_EXPECTED);
  lua_pushglobaltable(L);
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

static void push_weak(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

static void book_make(lua_State *L, int pool) {
  for (int page = 1; page <= BOOK_PAGES; page++) {
    if (page == BOOK_FUNCTIONS) push_weak(L);
    else if (page == BOOK_PRESENT) push_present(L);
    else lua_newtable(L);
    lua_setiuservalue(L, pool, page);
  }
}

static uint32_t workers_check(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  if (n > (lua_Integer)MP_PARTICIPANTS)
    mp_lua_raise(L, "ValueError", "the number of processes must be at most %d, got %I",
                 (int)MP_PARTICIPANTS, (LUAI_UACINT)n);
  return (uint32_t)n;
}

/* More than a worker can ever do is no limit. */
static uint32_t tasks_check(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  return n > UINT32_MAX ? 0 : (uint32_t)n;
}

/* pool_new(workers, tasks_per_worker or 0, memory_per_worker or 0, executor): nothing is started
** yet. */
static int pool_new(lua_State *L) {
  struct mp_pool_options o = {workers_check(L, 1), tasks_check(L, 2),
                              (uint64_t)luaL_checkinteger(L, 3)};
  struct mp_context *c = mp_lua_context(L);
  struct pool *p = (struct pool *)mp_lua_handle_new(L, &mp_lua_pool_type);
  book_make(L, lua_gettop(L));
  p->workers = o.workers;
  p->executor = lua_toboolean(L, 4);
  p->tasks_per_worker = o.tasks_per_worker;
  p->memory_per_worker = o.memory_per_worker;
  p->creator = c->tag;
  p->creator_pid = c->pid;
  mp_lua_result(L, mp_pool_new(c, &o, &p->base.handle), "a pool");
  return 1;
}

static void start_failed(lua_State *L, int r) {
  if (r == -EUSERS)
    mp_lua_raise(L, "ProcessError", "this session has as many processes as it can: %d",
                 (int)MP_PARTICIPANTS);
  mp_lua_result(L, r, "starting a pool");
}

/* pool_start(pool, enter, initializer, initargs). In a worker it does not return: enter(number) is
** called first. */
static int pool_start(lua_State *L) {
  struct pool *p = (struct pool *)mp_lua_handle_check(L, 1, &mp_lua_pool_type);
  uint32_t worker;
  lua_settop(L, 4);
  int r = mp_supervisor_start(p->base.handle, &p->supervisor, &worker);
  if (r == 0 && worker != 0) mp_lua_pool_work(L, worker);
  if (r != 0) start_failed(L, r);
  p->started = true;
  if (p->executor) mp_supervisor_finishes(&p->supervisor);
  return 0;
}

/* ---- ending ---- */

static int pool_close(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  mp_pool_close(p->base.handle);
  mp_supervisor_notify(&p->supervisor);
  return 0;
}

static void terminate(lua_State *L, struct pool *p, bool kill) {
  enum mp_pool_state before = mp_pool_state(p->base.handle);
  mp_lua_pool_drain(L, 1);
  if (kill) mp_pool_kill(p->base.handle);
  else mp_pool_terminate(p->base.handle);
  mp_supervisor_notify(&p->supervisor);
  if (before != MP_POOL_BROKEN)
    mp_lua_pool_fail(L, 1, "CancelledError", "the pool was terminated");
}

static int pool_terminate(lua_State *L) {
  terminate(L, mp_lua_pool_check(L, 1), false);
  return 0;
}

/* pool_kill(pool): terminates it, without a word to its workers. */
static int pool_kill(lua_State *L) {
  terminate(L, mp_lua_pool_check(L, 1), true);
  return 0;
}

/* Waits for the supervisor, which ends after all workers. */
static bool join_processes(lua_State *L, struct pool *p, mp_deadline until) {
  int r;
  do r = mp_supervisor_join(&p->supervisor, until);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  if (r != MP_TIMEOUT) mp_lua_result(L, r, "join");
  return r == 0;
}

/* join([timeout]): true, or false when the time is up. */
static int pool_join(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  mp_deadline until = mp_lua_timeout(L, 2);
  if (mp_pool_state(p->base.handle) == MP_POOL_OPEN)
    mp_lua_raise(L, "ValueError", "Pool is still running");
  bool ended = mp_lua_pool_wait(L, 1, NULL, until) && join_processes(L, p, until);
  mp_lua_pool_raise(L, 1);
  lua_pushboolean(L, ended);
  return 1;
}

/* pool_take_in(pool): what has arrived; calls what is due. */
static int pool_take_in(lua_State *L) {
  mp_lua_pool_check(L, 1);
  lua_settop(L, 1);
  mp_lua_pool_drain(L, 1);
  mp_lua_pool_call_back(L, 1);
  return 0;
}

/* pool_cancel_waiting(pool): calls what is due. */
static int pool_cancel_waiting(lua_State *L) {
  mp_pool_cancel_waiting(mp_lua_pool_check(L, 1)->base.handle);
  return pool_take_in(L);
}

/* pool_part(pool): the program ends: no more work, but what there is is done. */
static int pool_part(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  mp_pool_part(p->base.handle);
  mp_supervisor_notify(&p->supervisor);
  return 0;
}

/* pool_finish(pool): after pool_part; until all is done and the workers have ended. Calls what is
** due, unless the supervisor has seen a Ctrl-C that ends the program. */
static int pool_finish(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  lua_settop(L, 1);
  while (mp_pool_state(p->base.handle) != MP_POOL_TERMINATED) {
    mp_lua_pool_call_back(L, 1);
    if (p->open == 0) break;
    (void)mp_lua_pool_step(L, 1, MP_FOREVER);
  }
  (void)join_processes(L, p, MP_FOREVER);
  return 0;
}

/* pool_is_ours(pool): is it open, and of this process's making? */
static int pool_is_own(lua_State *L) {
  const struct pool *p = (const struct pool *)lua_touserdata(L, 1);
  lua_pushboolean(L, p != NULL && mp_lua_pool_is_ours(p));
  return 1;
}

/* pool_is_over(pool): is nothing of it left: no process, no task, no callback? Calls none. */
static int pool_is_over(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  lua_settop(L, 1);
  mp_lua_pool_drain(L, 1);
  bool rest = p->open != 0 || p->due != p->due_done;
  lua_pushboolean(L, !rest && mp_supervisor_join(&p->supervisor, MP_NOW) == 0);
  return 1;
}

/* The end of a scope: as Python's `with`, it terminates the pool, and waits for its processes. */
static int pool_leave(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_check_any(L, 1, &mp_lua_pool_type);
  struct pool *p = (struct pool *)u;
  lua_settop(L, 1);
  if (!mp_lua_pool_is_ours(p)) return 0;
  terminate(L, p, false);
  (void)join_processes(L, p, MP_FOREVER);
  return 0;
}

/* pool_expects(pool): may something arrive whose callback is to be called here? */
static int pool_expects(lua_State *L) {
  const struct mp_lua_handle *u = mp_lua_handle_check_any(L, 1, &mp_lua_pool_type);
  const struct pool *p = (const struct pool *)u;
  lua_pushboolean(L,
                  mp_lua_pool_is_ours(p) && !p->calling && (p->open > 0 || p->due != p->due_done));
  return 1;
}

/* Runs the callbacks that are due; raises what one has raised. */
static int pool_poll(lua_State *L) {
  (void)pool_take_in(L);
  mp_lua_pool_raise(L, 1);
  return 0;
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static int pool_stats(lua_State *L) {
  struct pool *p = mp_lua_pool_check(L, 1);
  struct mp_pool_stats s = mp_pool_stats(p->base.handle);
  lua_createtable(L, 0, 8);
  set_integer(L, "workers", s.workers);
  set_integer(L, "idle", s.idle);
  set_integer(L, "running", s.running);
  set_integer(L, "waiting", s.waiting);
  set_integer(L, "done", s.done);
  set_integer(L, "failed", s.failed);
  set_integer(L, "lost", s.lost);
  set_integer(L, "restarted", s.restarted);
  return 1;
}

static const luaL_Reg pool_methods[] = {{"close", pool_close},
                                        {"terminate", pool_terminate},
                                        {"join", pool_join},
                                        {"poll", pool_poll},
                                        {"stats", pool_stats},
                                        {NULL, NULL}};

static const luaL_Reg pool_metamethods[] = {{"__close", pool_leave}, {NULL, NULL}};

static const luaL_Reg pool_functions[] = {
  {"pool_new", pool_new}, {"pool_start", pool_start}, {"pool_expects", pool_expects},
  {"pool_take_in", pool_take_in}, {"pool_part", pool_part}, {"pool_finish", pool_finish},
  {"pool_is_ours", pool_is_own}, {"pool_is_over", pool_is_over},
  {"pool_cancel_waiting", pool_cancel_waiting}, {"pool_kill", pool_kill}, {NULL, NULL}};

void mp_lua_open_pool(lua_State *L) {
  mp_lua_type(L, &mp_lua_pool_type, pool_methods, pool_metamethods);
  mp_lua_functions(L, pool_functions);
  mp_lua_pool_open_submit(L);
  mp_lua_pool_function_open(L);
  mp_lua_result_open(L);
  mp_lua_stream_open(L);
}
