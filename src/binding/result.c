/*
** Results: what the core answers, as Lua errors.
**
** An error is a table {message =, where =, ...} with the metatable that its kind has in
** lua/multiprocessing/errors.lua, which is loaded with the module. `where` is the line
** of the innermost Lua function that is not one of ours, so that it points into the user's program
** whether a method is written in C or in Lua.
*/
#include "binding.h"

#include <errno.h>
#include <string.h>

/* ---- where it happened ---- */

static bool is_ours(const struct mp_lua_state *s, const lua_Debug *ar) {
  return s->home_length != 0 && strncmp(ar->source, s->home, s->home_length) == 0;
}

static void push_where(lua_State *L) {
  const struct mp_lua_state *s = mp_lua_state_of(L);
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || is_ours(s, &ar)) continue;
    lua_pushfstring(L, "%s:%d:", ar.short_src, ar.currentline);
    return;
  }
  lua_pushnil(L);
}

/* ---- error objects ---- */

/* Makes an error object of the text on top of the stack, which it replaces. */
static void make_error(lua_State *L, const char *kind) {
  lua_createtable(L, 0, 3);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  push_where(L);
  lua_setfield(L, -2, "where");
  mp_lua_require(L, "multiprocessing.errors");
  lua_getfield(L, -1, kind);
  lua_getfield(L, -1, "metatable");
  lua_setmetatable(L, -4);
  lua_pop(L, 2);
}

MP_RAISES static void raise(lua_State *L) {
  lua_error(L);
  __builtin_unreachable();
}

int mp_lua_raise_text(lua_State *L, const char *kind) {
  luaL_checkstack(L, 8, NULL);
  make_error(L, kind);
  raise(L);
}

int mp_lua_raise(lua_State *L, const char *kind, const char *fmt, ...) {
  va_list ap;
  luaL_checkstack(L, 8, NULL);
  va_start(ap, fmt);
  lua_pushvfstring(L, fmt, ap);
  va_end(ap);
  mp_lua_raise_text(L, kind);
}

static const struct {
  int number;
  const char *name;
} errno_names[] = {
#define NAME(e) {e, #e}
  NAME(EPERM), NAME(ENOENT), NAME(ESRCH), NAME(EINTR), NAME(EIO), NAME(E2BIG), NAME(EBADF),
  NAME(ECHILD), NAME(EAGAIN), NAME(EACCES), NAME(EEXIST), NAME(ENOTDIR), NAME(EISDIR),
  NAME(EINVAL), NAME(ENFILE), NAME(EMFILE), NAME(EFBIG), NAME(ENOSPC), NAME(EROFS), NAME(EMLINK),
  NAME(EPIPE), NAME(ERANGE), NAME(ENAMETOOLONG), NAME(ENOSYS), NAME(EMSGSIZE), NAME(EPROTO),
  NAME(EOPNOTSUPP), NAME(EAFNOSUPPORT), NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(ENETUNREACH),
  NAME(ECONNABORTED), NAME(ECONNRESET), NAME(ENOBUFS), NAME(EISCONN), NAME(ENOTCONN),
  NAME(ETIMEDOUT), NAME(ECONNREFUSED), NAME(EHOSTUNREACH), NAME(EALREADY), NAME(EINPROGRESS),
  NAME(EDQUOT), NAME(ECANCELED), NAME(EUSERS), NAME(EOVERFLOW), NAME(ENOTSOCK), NAME(EBUSY),
  NAME(ENODEV), NAME(ENXIO), NAME(EFAULT), NAME(ENOTEMPTY), NAME(ELOOP), NAME(EPROTONOSUPPORT),
#undef NAME
};

static const char *errno_name(int number) {
  for (size_t i = 0; i < MP_COUNT_OF(errno_names); i++)
    if (errno_names[i].number == number) return errno_names[i].name;
  return "unknown";
}

MP_RAISES static void raise_memory(lua_State *L, const char *what) {
  mp_lua_raise(L, "MemoryError", "%s: no memory is left in the session (MULTIPROCESSING_MEMORY and "
                                        "set_memory_limit raise its limit)", what);
}

int mp_lua_raise_errno(lua_State *L, int error, const char *what) {
  if (error == ENOMEM || error == ENOSPC) raise_memory(L, what);
  luaL_checkstack(L, 8, NULL);
  lua_pushfstring(L, "%s: %s (%s)", what, mp_strerror(-error), errno_name(error));
  make_error(L, error == EPIPE ? "BrokenPipeError" : "OSError");
  lua_pushinteger(L, error);
  lua_setfield(L, -2, "errno");
  lua_pushstring(L, errno_name(error));
  lua_setfield(L, -2, "code");
  raise(L);
}

/* ---- arguments ---- */

/* Pushes the key under which the table on top has the function, or nothing. */
static const char *name_in(lua_State *L, int function) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!lua_rawequal(L, -1, function) || lua_type(L, -2) != LUA_TSTRING) continue;
    lua_pop(L, 1);
    return lua_tostring(L, -1);
  }
  return NULL;
}

/* The name under which the module or a type has the function of the frame, if it was not called by
** a name (by pcall, as a callback). It stays on the stack. */
static const char *name_of(lua_State *L, lua_Debug *ar) {
  lua_getinfo(L, "f", ar);
  int function = lua_gettop(L);
  mp_lua_require(L, "multiprocessing.core");
  const char *name = name_in(L, function);
  if (name != NULL) return name;
  mp_lua_types(L);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    name = lua_istable(L, -1) ? name_in(L, function) : NULL;
    if (name != NULL) return name;
  }
  return "?";
}

/* "bad argument #1 to 'put'", or "calling 'put' on bad self", as luaL_argerror says it. */
static void push_bad_argument(lua_State *L, int arg) {
  lua_Debug ar;
  memset(&ar, 0, sizeof ar);
  luaL_checkstack(L, 12, NULL);
  if (lua_getstack(L, 0, &ar)) lua_getinfo(L, "n", &ar);
  const char *name = ar.name != NULL ? ar.name : name_of(L, &ar);
  if (ar.namewhat != NULL && strcmp(ar.namewhat, "method") == 0 && --arg == 0)
    lua_pushfstring(L, "calling '%s' on bad self", name);
  else
    lua_pushfstring(L, "bad argument #%d to '%s'", arg, name);
}

int mp_lua_raise_argument(lua_State *L, int arg, const char *kind, const char *text) {
  luaL_checkstack(L, 8, NULL);
  push_bad_argument(L, arg);
  lua_pushfstring(L, "%s (%s)", lua_tostring(L, -1), text);
  mp_lua_raise_text(L, kind);
}

static const char *type_of(lua_State *L, int arg) {
  if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING) return lua_tostring(L, -1);
  if (lua_type(L, arg) == LUA_TLIGHTUSERDATA) return "light userdata";
  return luaL_typename(L, arg);
}

int mp_lua_raise_type(lua_State *L, int arg, const char *expected) {
  luaL_checkstack(L, 8, NULL);
  const char *text = lua_pushfstring(L, "%s expected, got %s", expected, type_of(L, arg));
  mp_lua_raise_argument(L, arg, "TypeError", text);
}

/* ---- results ---- */

static const struct mp_lua_condition general[] = {
  {MP_TIMEOUT, "TimeoutError", "the time is up"},
  {MP_EMPTY, "Empty", "nothing is there"},
  {MP_FULL, "Full", "there is no room"},
  {MP_CLOSED, "ShutDown", "it is shut down"},
  {MP_BROKEN, "BrokenBarrierError", "the barrier is broken"},
  {MP_NOT_OWNER, "ProcessError", "it is not held by this process"},
  {MP_LIMIT, "ValueError", "a limit is reached"},
  {MP_TOO_BIG, "ValueError", "it is too big"},
  {MP_FOREIGN, "ProcessError", "it is not of this session"},
  {MP_LOST, "ProcessError", "the process that had it died"},
  {0, NULL, NULL},
};

static const struct mp_lua_condition *find(const struct mp_lua_condition *table, int r) {
  if (table == NULL) return NULL;
  while (table->result != 0 && table->result != r) table++;
  return table->result != 0 ? table : NULL;
}

void mp_lua_result_slow(lua_State *L, int r, const char *what,
                        const struct mp_lua_condition *table) {
  if (r < 0) mp_lua_raise_errno(L, -r, what);
  const struct mp_lua_condition *own = find(table, r);
  const struct mp_lua_condition *found = own != NULL ? own : find(general, r);
  if (found == NULL) mp_lua_raise(L, "ProcessError", "%s: %s", what, mp_strerror(r));
  if (own != NULL) mp_lua_raise(L, own->kind, "%s", own->text);
  mp_lua_raise(L, found->kind, "%s: %s", what, found->text);
}
