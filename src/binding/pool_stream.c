/*
** Streams: what imap and imap_unordered give, results one by one.
**
** A stream submits its input as it goes: a list as a whole unless a buffer size was asked for, an
** iterator only as far ahead as the buffer goes. Results wait in a table by their index until they
** are asked for; of an unordered stream, their indices stand in a line in the order of arrival.
** Whatever goes wrong with an item, from drawing it on, is raised in its turn, and iteration goes
** on.
*/
#include <string.h>

#include "nouns.h"
#include "pool.h"

/* A full userdata. The user values are an AsyncResult's, and these. */
struct stream {
  enum sink sink;
  bool ordered, drained; /* drained: the input is at its end */
  bool changed;          /* some tasks are not of the function as it was at first */
  uint32_t chunk, form;
  lua_Integer buffer;    /* items that may be on their way or wait; 0: no limit */
  lua_Integer length;    /* of a list; -1: an iterator */
  lua_Integer drawn;     /* items taken from the input */
  lua_Integer arrived;   /* of these, with a result */
  lua_Integer given;     /* results that were asked for */
  struct mp_task_options limits;
};
enum {
  STREAM_POOL = RESULT_POOL,
  STREAM_VALUES = RESULT_VALUE,
  STREAM_ERRORS = RESULT_EXTRAS,
  STREAM_RECORD = RESULT_FUNCTION,
  STREAM_FUNCTION = RESULT_VALUES + 1,
  STREAM_INPUT,
  STREAM_LINE,
  STREAM_USER_VALUES = STREAM_LINE
};

static const char stream_type[] = "multiprocessing.IMapIterator";

/* What stands in STREAM_VALUES for nil, and for an error that is in STREAM_ERRORS. */
static const char no_value, an_error;

/* ---- results ---- */

/* The value on top has that index; it is popped. */
static void stream_keep(lua_State *L, int stream, lua_Integer index) {
  struct stream *s = (struct stream *)lua_touserdata(L, stream);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&no_value);
  }
  lua_getiuservalue(L, stream, STREAM_VALUES);
  lua_insert(L, -2);
  lua_rawseti(L, -2, index);
  lua_pop(L, 1);
  s->arrived++;
  if (s->ordered) return;
  lua_getiuservalue(L, stream, STREAM_LINE);
  lua_pushinteger(L, index);
  lua_rawseti(L, -2, s->arrived);
  lua_pop(L, 1);
}

/* The error on top is what the item of that index gives; it is popped. */
static void stream_keep_error(lua_State *L, int stream, lua_Integer index) {
  lua_getiuservalue(L, stream, STREAM_ERRORS);
  lua_insert(L, -2);
  lua_rawseti(L, -2, index);
  lua_pop(L, 1);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&an_error);
  stream_keep(L, stream, index);
}

/* The item at hand. */
static void stream_take_in(lua_State *L, struct arrival *a) {
  if (mp_lua_pool_item(L, a)) {
    stream_keep(L, a->result, (lua_Integer)a->index);
  } else {
    lua_pop(L, 1);
    stream_keep_error(L, a->result, (lua_Integer)a->index);
  }
}

/* A task that has fewer items than were submitted was cancelled before all of them ran. */
void mp_lua_stream_arrive(lua_State *L, struct mp_handle *pool, struct arrival *a) {
  const struct stream *s = (const struct stream *)lua_touserdata(L, a->result);
  lua_Integer last = (lua_Integer)a->first + s->chunk - 1;
  struct mp_item_cursor at = {0};
  if (last > s->drawn) last = s->drawn;
  for (; mp_pool_item(pool, &a->task, &at, &a->item); a->index++) stream_take_in(L, a);
  for (; (lua_Integer)a->index <= last; a->index++) {
    a->item = (struct mp_item){.kind = MP_ITEM_CANCELLED};
    stream_take_in(L, a);
  }
}

/* Is the item's result not there, nor given? */
static bool is_missing(lua_State *L, int stream, lua_Integer index) {
  lua_getiuservalue(L, stream, STREAM_VALUES);
  bool missing = lua_rawgeti(L, -1, index) == LUA_TNIL;
  lua_pop(L, 2);
  return missing;
}

void mp_lua_stream_fail(lua_State *L, int stream, int error) {
  struct stream *s = (struct stream *)lua_touserdata(L, stream);
  s->drained = true;
  lua_Integer from = s->ordered ? s->given + 1 : 1;
  for (lua_Integer i = from; s->arrived < s->drawn && i <= s->drawn; i++) {
    if (!is_missing(L, stream, i)) continue;
    lua_pushvalue(L, error);
    stream_keep_error(L, stream, i);
  }
}

/* ---- input ---- */

/* Pushes the next items as a list; gives the place of the first and the last in it. */
static void push_items(lua_State *L, struct stream *s, int stream, lua_Integer range[2]) {
  lua_getiuservalue(L, stream, STREAM_INPUT);
  int input = lua_gettop(L);
  if (s->length >= 0) {
    range[0] = s->drawn + 1;
    range[1] = s->drawn + s->chunk < s->length ? s->drawn + s->chunk : s->length;
    return;
  }
  lua_createtable(L, (int)s->chunk < 64 ? (int)s->chunk : 64, 0);
  range[0] = 1;
  for (range[1] = 0; range[1] < s->chunk; range[1]++) {
    lua_pushvalue(L, input);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) break;
    lua_rawseti(L, input + 1, range[1] + 1);
  }
  lua_settop(L, input + 1);
}

/* The function's record, at `record`, is kept as long as the task may need the function: by the
** stream if it is the first one, else for the task. */
static void record_keep(lua_State *L, struct stream *s, int record, uint64_t id) {
  lua_getiuservalue(L, 1, STREAM_RECORD);
  bool first = lua_rawequal(L, -1, record);
  lua_pop(L, 1);
  if (first) return;
  s->changed = true;
  mp_lua_pool_book(L, 2, BOOK_RECORDS);
  lua_pushvalue(L, record);
  lua_rawseti(L, -2, (lua_Integer)(id >> 32));
  lua_pop(L, 1);
}

void mp_lua_stream_task_over(lua_State *L, int pool, int stream, lua_Integer serial) {
  if (!((const struct stream *)lua_touserdata(L, stream))->changed) return;
  mp_lua_pool_book(L, pool, BOOK_RECORDS);
  lua_pushnil(L);
  lua_rawseti(L, -2, serial);
  lua_pop(L, 1);
}

/* stream_submit(stream, pool): one more task. */
static int stream_submit(lua_State *L) {
  struct stream *s = (struct stream *)lua_touserdata(L, 1);
  struct pool *p = (struct pool *)lua_touserdata(L, 2);
  struct mp_lua_parcel task;
  lua_Integer range[2], first = s->drawn + 1;
  uint64_t id;
  push_items(L, s, 1, range);
  int list = lua_gettop(L);
  lua_Integer count = range[1] - range[0] + 1;
  if (count < (lua_Integer)s->chunk || s->drawn + count == s->length) s->drained = true;
  if (count == 0) return 0;
  s->drawn += count;
  mp_lua_pool_book(L, 2, BOOK_PRESENT);
  lua_getiuservalue(L, 1, STREAM_FUNCTION);
  struct task_trailer trailer = {mp_lua_pool_function(L, 2, list + 2), s->form};
  struct mp_codec_request what = {list, 1, MP_CODEC_FULL, "iterable"};
  mp_lua_encode_slice(L, &what, range, list + 1, &task);
  task.parcel.tail = &trailer;
  task.parcel.tail_length = sizeof trailer;
  s->limits.count = (uint32_t)count;
  mp_lua_pool_submit(L, p, &task, &s->limits, &id);
  mp_lua_result_expect(L, 2, 1, id, first);
  record_keep(L, s, list + 3, id);
  return 0;
}

/* Submits as much as the buffer takes. What fails fails for the items that were just drawn. */
static void stream_fill(lua_State *L, int stream, int pool) {
  struct stream *s = (struct stream *)lua_touserdata(L, stream);
  while (!s->drained && (s->buffer == 0 || s->drawn - s->given < s->buffer)) {
    lua_Integer before = s->drawn;
    lua_pushcfunction(L, stream_submit);
    lua_pushvalue(L, stream);
    lua_pushvalue(L, pool);
    int status = lua_pcall(L, 2, 0, 0);
    if (status == LUA_OK) continue;
    if (s->drawn == before) { /* the iterator has failed: it is at its end */
      s->drained = true;
      s->drawn++;
    }
    int error = lua_gettop(L);
    for (lua_Integer i = before + 1; i <= s->drawn; i++) {
      lua_pushvalue(L, error);
      stream_keep_error(L, stream, i);
    }
    lua_settop(L, error - 1);
  }
}

/* ---- output ---- */

/* The index of the next result, if it is there; else 0. */
static lua_Integer stream_next_index(lua_State *L, const struct stream *s) {
  lua_Integer index = s->given + 1;
  if (s->given >= s->arrived) return 0;
  if (s->ordered) return is_missing(L, 1, index) ? 0 : index;
  lua_getiuservalue(L, 1, STREAM_LINE);
  lua_rawgeti(L, -1, index);
  index = lua_tointeger(L, -1);
  lua_pushnil(L);
  lua_rawseti(L, -3, s->given + 1);
  lua_pop(L, 2);
  return index;
}

/* Takes a value out of a table that is on top, and leaves the value. */
static void take_out(lua_State *L, lua_Integer index) {
  lua_rawgeti(L, -1, index);
  lua_pushnil(L);
  lua_rawseti(L, -3, index);
  lua_remove(L, -2);
}

/* The result of that index: itself and the index, or its error raised. */
static int stream_give(lua_State *L, struct stream *s, lua_Integer index) {
  lua_pushinteger(L, index);
  lua_getiuservalue(L, 1, STREAM_VALUES);
  take_out(L, index);
  s->given++;
  const void *mark = lua_islightuserdata(L, -1) ? lua_touserdata(L, -1) : NULL;
  if (mark == &an_error) {
    lua_getiuservalue(L, 1, STREAM_ERRORS);
    take_out(L, index);
    return lua_error(L);
  }
  if (mark == &no_value) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  return 2;
}

static int stream_advance(lua_State *L, struct stream *s, mp_deadline until) {
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, STREAM_POOL);
  for (;;) {
    if (!s->drained) {
      mp_lua_pool_check(L, 2);
      stream_fill(L, 1, 2);
    }
    lua_Integer index = stream_next_index(L, s);
    if (index != 0) return stream_give(L, s, index);
    if (s->drained && s->given == s->drawn) return 0;
    mp_lua_pool_check(L, 2);
    mp_lua_pool_call_back(L, 2);
    if (s->arrived < s->drawn && !mp_lua_pool_step(L, 2, until))
      return mp_lua_raise(L, "TimeoutError", "the next result is not there yet");
  }
}

static struct stream *stream_check(lua_State *L) {
  struct stream *s = (struct stream *)luaL_testudata(L, 1, stream_type);
  if (s == NULL) mp_lua_raise_type(L, 1, "IMapIterator");
  return s;
}

/* As the iterator of a for loop: index and value, or nothing at the end. */
static int stream_call(lua_State *L) {
  return stream_advance(L, stream_check(L), MP_FOREVER);
}

/* next([timeout]) */
static int stream_next(lua_State *L) {
  struct stream *s = stream_check(L);
  return stream_advance(L, s, mp_lua_timeout(L, 2));
}

/* ---- making ---- */

enum { MAKE_POOL = 1, MAKE_FUNCTION, MAKE_INPUT, MAKE_LENGTH, MAKE_CHUNK, MAKE_ORDERED, MAKE_BUFFER,
       MAKE_TIMEOUT, MAKE_RETRIES };

static lua_Integer buffer_of(lua_State *L, const struct pool *p, const struct stream *s) {
  lua_Integer buffer = luaL_optinteger(L, MAKE_BUFFER, 0);
  if (!lua_isnil(L, MAKE_BUFFER) && buffer < 1)
    mp_lua_raise(L, "ValueError", "buffersize must be at least 1, got %I", (LUAI_UACINT)buffer);
  if (buffer == 0 && s->length < 0) buffer = (lua_Integer)p->workers * 16;
  if (buffer != 0 && buffer < s->chunk) buffer = s->chunk;
  return buffer;
}

static struct stream *stream_new(lua_State *L, const struct pool *p) {
  struct stream *s = (struct stream *)lua_newuserdatauv(L, sizeof *s, STREAM_USER_VALUES);
  memset(s, 0, sizeof *s);
  s->sink = SINK_STREAM;
  s->form = FORM_ITEMS;
  s->ordered = lua_toboolean(L, MAKE_ORDERED);
  s->length = luaL_checkinteger(L, MAKE_LENGTH);
  s->chunk = lua_isnil(L, MAKE_CHUNK) ? 1 : (uint32_t)mp_lua_pool_chunk(L, p, MAKE_CHUNK, 0);
  s->buffer = buffer_of(L, p, s);
  s->drained = s->length == 0;
  mp_lua_pool_limits(L, MAKE_TIMEOUT, &s->limits);
  luaL_setmetatable(L, stream_type);
  return s;
}

/* pool_stream(pool, func, input, length or -1, chunk, ordered, buffersize, timeout, retries) */
static int pool_stream(lua_State *L) {
  static const int places[][2] = {{MAKE_POOL, STREAM_POOL}, {MAKE_FUNCTION, STREAM_FUNCTION},
                                  {MAKE_INPUT, STREAM_INPUT}};
  static const int tables[] = {STREAM_VALUES, STREAM_ERRORS, STREAM_LINE};
  struct pool *p = mp_lua_pool_check(L, MAKE_POOL);
  lua_settop(L, MAKE_RETRIES);
  mp_lua_pool_callable(L, MAKE_FUNCTION);
  mp_lua_pool_running(L, p);
  mp_lua_pool_function(L, MAKE_POOL, MAKE_FUNCTION);
  stream_new(L, p);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, STREAM_RECORD);
  for (size_t i = 0; i < MP_COUNT_OF(places); i++) {
    lua_pushvalue(L, places[i][0]);
    lua_setiuservalue(L, -2, places[i][1]);
  }
  for (size_t i = 0; i < MP_COUNT_OF(tables); i++) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, tables[i]);
  }
  stream_fill(L, lua_gettop(L), MAKE_POOL);
  return 1;
}

static int stream_tostring(lua_State *L) {
  const struct stream *s = stream_check(L);
  lua_pushfstring(L, "IMapIterator (%I given%s)", (LUAI_UACINT)s->given,
                  s->drained && s->given == s->drawn ? ", at its end" : "");
  return 1;
}

static const luaL_Reg stream_methods[] = {{"next", stream_next}, {NULL, NULL}};
static const luaL_Reg stream_metamethods[] = {
  {"__call", stream_call}, {"__tostring", stream_tostring}, {"__newindex", mp_lua_no_field},
  {NULL, NULL}};
static const luaL_Reg stream_functions[] = {{"pool_stream", pool_stream}, {NULL, NULL}};

void mp_lua_stream_open(lua_State *L) {
  mp_lua_functions(L, stream_functions);
  luaL_newmetatable(L, stream_type);
  luaL_setfuncs(L, stream_metamethods, 0);
  lua_pushliteral(L, "IMapIterator");
  lua_setfield(L, -2, "__name");
  luaL_newlib(L, stream_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
