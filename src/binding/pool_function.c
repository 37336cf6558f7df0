/*
** Functions of a pool: sent once, known by a number from then on.
**
** For each function there is a record, found by the function itself in a table with weak keys. What
** a function does depends on its upvalues, so at each submission they are looked at: a flat list
** {function, number of the upvalue, value} of what it and the functions that it uses had when it
** was sent. Scalars are compared by value; functions, modules and shared objects by identity. Other
** tables can change unseen: with one of these, the function is encoded again and its bytes are
** compared. What has changed is sent anew, under a new number.
*/
#include "pool.h"

#include <string.h>

/* A full userdata. Its user values: the list to compare with, the bytes, the name, the pool. */
struct function {
  uint32_t number;  /* 0: not sent */
  uint32_t watched; /* triples in the list */
  bool opaque;      /* has a table to compare: by its bytes */
};
enum {
  FUNCTION_WATCH = 1,
  FUNCTION_BYTES,
  FUNCTION_NAME,
  FUNCTION_POOL,
  FUNCTION_VALUES = FUNCTION_POOL
};

static const char record_type[] = "multiprocessing.pool_function";

/* ---- what to watch ---- */

/* The values that are looked through: list, functions that were seen, modules. */
struct survey {
  lua_State *L;
  int list, seen;
  uint32_t n; /* triples */
  bool opaque;
};

static bool is_global_table(lua_State *L, int index) {
  lua_pushglobaltable(L);
  bool is = lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return is;
}

static bool is_module(lua_State *L, int index) {
  bool found = false;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  int loaded = lua_gettop(L);
  for (lua_pushnil(L); !found && lua_next(L, loaded); lua_pop(L, 1))
    found = lua_rawequal(L, -1, index);
  lua_settop(L, loaded - 1);
  return found;
}

/* Appends {function at `f`, i, value on top}; pops the value. */
static void survey_add(struct survey *s, int f, int i) {
  lua_State *L = s->L;
  lua_Integer at = (lua_Integer)s->n++ * 3;
  lua_rawseti(L, s->list, at + 3);
  lua_pushvalue(L, f);
  lua_rawseti(L, s->list, at + 1);
  lua_pushinteger(L, i);
  lua_rawseti(L, s->list, at + 2);
}

static void survey_function(struct survey *s, int f);

/* Can the value, on top, be told from another by what it is? A function is looked into. */
static bool survey_value(struct survey *s) {
  lua_State *L = s->L;
  int value = lua_gettop(L);
  switch (lua_type(L, value)) {
    case LUA_TTABLE: return is_module(L, value);
    case LUA_TUSERDATA: return mp_lua_handle_test(L, value) != NULL;
    case LUA_TTHREAD: case LUA_TLIGHTUSERDATA: return false;
    case LUA_TFUNCTION:
      if (!lua_iscfunction(L, value)) survey_function(s, value);
      return true;
    default: return true;
  }
}

static void survey_function(struct survey *s, int f) {
  lua_State *L = s->L;
  luaL_checkstack(L, 12, "functions nested too deeply");
  lua_pushvalue(L, f);
  if (lua_rawget(L, s->seen) != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  lua_pushvalue(L, f);
  lua_pushboolean(L, 1);
  lua_rawset(L, s->seen);
  for (int i = 1; !s->opaque && lua_getupvalue(L, f, i) != NULL; i++) {
    if (is_global_table(L, lua_gettop(L))) {
      lua_pop(L, 1);
    } else {
      s->opaque = !survey_value(s);
      survey_add(s, f, i);
    }
  }
}

/* Notes in the record (at `record`) what the function's meaning depends on. */
static void function_survey(lua_State *L, struct function *u, int function, int record) {
  struct survey s = {.L = L};
  int top = lua_gettop(L);
  s.opaque = !lua_isfunction(L, function);
  lua_newtable(L);
  lua_newtable(L);
  s.list = top + 1;
  s.seen = top + 2;
  if (lua_isfunction(L, function) && !lua_iscfunction(L, function)) survey_function(&s, function);
  lua_settop(L, s.list);
  u->opaque = s.opaque;
  u->watched = s.opaque ? 0 : s.n;
  if (u->watched == 0) lua_pushnil(L);
  lua_setiuservalue(L, record, FUNCTION_WATCH);
  lua_settop(L, top);
}

/* The two values on top: the same, or numbers that are the same in all respects? */
static bool same(lua_State *L) {
  return lua_rawequal(L, -1, -2) && lua_isinteger(L, -1) == lua_isinteger(L, -2);
}

static bool watched_same(lua_State *L, const struct function *u, int record) {
  bool good = true;
  int top = lua_gettop(L);
  if (u->watched == 0) return true;
  lua_getiuservalue(L, record, FUNCTION_WATCH);
  for (lua_Integer at = 0; good && at < (lua_Integer)u->watched * 3; at += 3) {
    lua_rawgeti(L, top + 1, at + 1);
    lua_rawgeti(L, top + 1, at + 2);
    int i = (int)lua_tointeger(L, -1);
    lua_rawgeti(L, top + 1, at + 3);
    good = lua_getupvalue(L, top + 2, i) != NULL && same(L);
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return good;
}

/* ---- its name ---- */

/* Pushes the name that a local variable of the frame, or an upvalue of its function, has for the
** function. */
static bool push_local_name(lua_State *L, lua_Debug *ar, int function) {
  const char *name;
  for (int i = 1; (name = lua_getlocal(L, ar, i)) != NULL; i++) {
    bool found = lua_rawequal(L, -1, function) && *name != '(';
    lua_pop(L, 1);
    if (found) return lua_pushstring(L, name) != NULL;
  }
  lua_getinfo(L, "f", ar);
  int caller = lua_gettop(L);
  for (int i = 1; !lua_iscfunction(L, caller) && (name = lua_getupvalue(L, caller, i)) != NULL;
       i++) {
    bool found = lua_rawequal(L, -1, function);
    lua_pop(L, 1);
    if (found) return lua_pushstring(L, name) != NULL;
  }
  return false;
}

/* Pushes the function's key in the table on top. */
static bool push_key(lua_State *L, int function) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (!lua_rawequal(L, -1, function) || lua_type(L, -2) != LUA_TSTRING) continue;
    lua_pop(L, 1);
    return true;
  }
  return false;
}

static bool push_global_name(lua_State *L, int function) {
  lua_pushglobaltable(L);
  return push_key(L, function);
}

/* A C function has no place in a file; a loaded module may have it. */
static bool push_module_name(lua_State *L, int function) {
  if (!lua_iscfunction(L, function)) return false;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -1) != LUA_TTABLE || lua_type(L, -2) != LUA_TSTRING) continue;
    if (!push_key(L, function)) continue;
    lua_pushfstring(L, "%s.%s", lua_tostring(L, -3), lua_tostring(L, -1));
    return true;
  }
  return false;
}

/* The innermost frame of the user's program. */
static bool find_caller(lua_State *L, lua_Debug *ar) {
  const struct mp_lua_state *s = mp_lua_state_of(L);
  for (int level = 1; lua_getstack(L, level, ar); level++) {
    lua_getinfo(L, "Sl", ar);
    bool ours = s->home_length != 0 && strncmp(ar->source, s->home, s->home_length) == 0;
    if (ar->currentline > 0 && !ours) return true;
  }
  return false;
}

/* Pushes what to call the function: as the caller or the program does, or by where it stands. */
static void push_name(lua_State *L, int function) {
  lua_Debug ar;
  int top = lua_gettop(L);
  memset(&ar, 0, sizeof ar);
  luaL_checkstack(L, 8, NULL);
  if ((find_caller(L, &ar) && push_local_name(L, &ar, function)) ||
      push_global_name(L, function) || push_module_name(L, function)) {
    lua_copy(L, -1, top + 1);
    lua_settop(L, top + 1);
    return;
  }
  lua_settop(L, top);
  if (!lua_isfunction(L, function)) {
    mp_lua_show(L, function);
    return;
  }
  lua_pushvalue(L, function);
  lua_getinfo(L, ">S", &ar);
  lua_pushfstring(L, "<%s:%d>", ar.short_src, ar.linedefined);
}

void mp_lua_pool_function_name(lua_State *L, int record) {
  if (lua_getiuservalue(L, record, FUNCTION_NAME) == LUA_TSTRING) return;
  lua_pop(L, 1);
  lua_pushliteral(L, "?");
}

/* ---- sending ---- */

/* Encodes the function; its bytes as a string are pushed as well if they are to be compared
** later. */
static void encode(lua_State *L, int pool, int function, struct mp_lua_parcel *out) {
  struct mp_codec_request what = {function, 1, MP_CODEC_FULL, "func"};
  mp_lua_pool_book(L, pool, BOOK_PRESENT);
  mp_lua_encode_carry(L, &what, lua_gettop(L), out);
}

/* What was sent counts as memory of Lua's, so that functions nobody has any more are noticed. */
static void collect_for(lua_State *L, size_t bytes) {
  if (!lua_gc(L, LUA_GCISRUNNING)) return;
#if LUA_VERSION_NUM >= 505
  lua_gc(L, LUA_GCSTEP, bytes);
#else
  lua_gc(L, LUA_GCSTEP, (int)(bytes >> 10) + 1);
#endif
}

static void function_send(lua_State *L, int pool, int function, int record) {
  struct function *u = (struct function *)lua_touserdata(L, record);
  struct pool *p = (struct pool *)lua_touserdata(L, pool);
  struct mp_lua_parcel bytes;
  int top = lua_gettop(L);
  function_survey(L, u, function, record);
  encode(L, pool, function, &bytes);
  if (u->opaque) {
    lua_pushlstring(L, (const char *)bytes.view.bytes, bytes.view.size);
    lua_setiuservalue(L, record, FUNCTION_BYTES);
  }
  uint32_t number;
  size_t bytes_sent = bytes.view.size;
  int r = mp_pool_function_add(p->base.handle, &bytes.parcel, &number);
  mp_lua_encode_done(&bytes);
  mp_lua_result(L, r, "a pool's function");
  u->number = number;
  lua_settop(L, top);
  collect_for(L, bytes_sent);
}

static bool bytes_same(lua_State *L, int pool, int function, int record) {
  struct mp_lua_parcel now;
  size_t n;
  int top = lua_gettop(L);
  encode(L, pool, function, &now);
  lua_getiuservalue(L, record, FUNCTION_BYTES);
  const char *before = lua_tolstring(L, -1, &n);
  bool is = before != NULL && n == now.view.size && memcmp(before, now.view.bytes, n) == 0;
  mp_lua_encode_done(&now);
  lua_settop(L, top);
  return is;
}

static bool function_same(lua_State *L, int pool, int function, int record) {
  const struct function *u = (const struct function *)lua_touserdata(L, record);
  if (u->number == 0) return false;
  if (u->opaque) return bytes_same(L, pool, function, record);
  return watched_same(L, u, record);
}

/* Pushes a new record. */
static void push_record(lua_State *L, int pool, int function) {
  struct function *u = (struct function *)lua_newuserdatauv(L, sizeof *u, FUNCTION_VALUES);
  memset(u, 0, sizeof *u);
  push_name(L, function);
  lua_setiuservalue(L, -2, FUNCTION_NAME);
  lua_pushvalue(L, pool);
  lua_setiuservalue(L, -2, FUNCTION_POOL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, record_type);
  lua_setmetatable(L, -2);
}

/* A program's end waits for what executors have: the record has to be there still. */
static void keep_until_the_end(lua_State *L) {
  mp_lua_require(L, "multiprocessing.ending");
  lua_getfield(L, -1, "keep");
  lua_call(L, 0, 0);
  lua_pop(L, 1);
}

/* Sends the function, and puts its record at `record` into the table below it. */
static void function_add(lua_State *L, int pool, int function, int record) {
  push_record(L, pool, function);
  lua_replace(L, record);
  function_send(L, pool, function, record);
  lua_pushvalue(L, function);
  lua_pushvalue(L, record);
  lua_rawset(L, record - 1);
  if (((const struct pool *)lua_touserdata(L, pool))->executor) keep_until_the_end(L);
}

uint32_t mp_lua_pool_function(lua_State *L, int pool, int function) {
  int record = lua_gettop(L) + 2;
  mp_lua_pool_book(L, pool, BOOK_FUNCTIONS);
  lua_pushvalue(L, function);
  if (lua_rawget(L, record - 1) == LUA_TNIL || !function_same(L, pool, function, record))
    function_add(L, pool, function, record);
  lua_remove(L, record - 1);
  return ((const struct function *)lua_touserdata(L, -1))->number;
}

/* Nobody will submit the function any more, and no task that refers to it is in flight: the results
** of those have the record too. */
static int record_gc(lua_State *L) {
  const struct function *u = (const struct function *)lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, FUNCTION_POOL);
  const struct pool *p = (const struct pool *)lua_touserdata(L, -1);
  if (p != NULL && u->number != 0 && mp_lua_pool_is_ours(p))
    mp_pool_function_drop(p->base.handle, u->number);
  return 0;
}

void mp_lua_pool_function_open(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, record_gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, record_type);
}
