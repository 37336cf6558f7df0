/* The codec from C: what a view promises, and that no failing allocation breaks it. */
#include "test.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "../../src/codec/codec.h"

static long countdown = -1; /* the allocation that fails: 0 is the next one, < 0 none */
static int failing;         /* how often still: Lua collects its garbage and tries once more */

static void *counted(void *data, void *p, size_t old, size_t wanted) {
  (void)data;
  (void)old;
  if (wanted == 0) {
    free(p);
    return NULL;
  }
  if (!p || wanted > old) {
    if (countdown >= 0 && countdown-- == 0) failing = 2;
    if (failing > 0 && failing-- > 0) return NULL;
  }
  return realloc(p, wanted);
}

static lua_State *state_open(void) {
  lua_State *L = lua_newstate(counted, NULL
#if LUA_VERSION_NUM >= 505
                              , 1
#endif
  );
  luaL_openlibs(L);
  mp_codec_init(L, NULL);
  lua_register(L, "register_class", mp_codec_register_class);
  return L;
}

/* A value with all that the codec keeps in memory: depth, sharing, code, classes, long strings. */
static const char *const value =
    "local Class, Packed = {}, {}\n"
    "register_class('Class', Class)\n"
    "register_class('Packed', Packed, {pack = function(t) return {t.x} end,\n"
    "  unpack = function(t) return setmetatable({x = t[1]}, Packed) end})\n"
    "local list, t = nil, {}\n"
    "for i = 1, 200 do list = {i, next = list} end\n"
    "for i = 1, 100 do t['key' .. i] = {i} end\n"
    "t.self, t.list, t.long = t, list, ('x'):rep(20000)\n"
    "t.class, t.packed = setmetatable({1}, Class), setmetatable({x = 2}, Packed)\n"
    "t.f, t.print = function() return t, list, note end, print\n"
    "note = {1, function() return t end}\n"
    "return t";

#define ALL (MP_CODEC_FULL | MP_CODEC_CARRY)

/* Encodes the value at index 1 and decodes it; the copy is left on the stack. */
static int through(lua_State *L) {
  struct mp_codec_request what = {1, 1, ALL, "value"};
  struct mp_codec_view view;
  mp_codec_encode(L, &what, &view);
  mp_codec_decode(L, view.bytes, view.size, MP_CODEC_FULL);
  mp_codec_release(&view);
  return 1;
}

static int call_through(lua_State *L) {
  lua_pushcfunction(L, through);
  lua_pushvalue(L, 1);
  return lua_pcall(L, 1, 1, 0);
}

/* What lua_checkstack says of a failing allocation cannot be told from a stack that is full. */
static int is_stack_overflow(lua_State *L) {
  const char *message;
  if (lua_istable(L, -1)) lua_getfield(L, -1, "message");
  message = lua_tostring(L, -1);
  return message && (strstr(message, "stack overflow") || strstr(message, "nested too deeply"));
}

TEST(each_allocation_may_fail) {
  lua_State *L = state_open();
  long n = 0;
  int status;
  CHECK_EQ(luaL_dostring(L, value), LUA_OK);
  do {
    lua_gc(L, LUA_GCSTOP);
    countdown = n++;
    status = call_through(L);
    countdown = -1;
    failing = 0;
    lua_gc(L, LUA_GCRESTART);
    CHECK(status == LUA_OK || status == LUA_ERRMEM || is_stack_overflow(L));
    lua_settop(L, 1);
    if (n % 16 == 0) CHECK_EQ(call_through(L), LUA_OK);
    lua_settop(L, 1);
  } while (status != LUA_OK);
  CHECK(n > 400);
  lua_close(L);
}

TEST(a_view_lasts_until_it_is_released) {
  lua_State *L = state_open();
  struct mp_codec_request what = {1, 1, MP_CODEC_DATA, "value"};
  struct mp_codec_view first, second;
  lua_pushliteral(L, "first");
  mp_codec_encode(L, &what, &first);
  lua_pushliteral(L, "second");
  lua_replace(L, 1);
  mp_codec_encode(L, &what, &second);
  lua_gc(L, LUA_GCCOLLECT);
  CHECK(first.size == 6 && memcmp(first.bytes, "\xa5" "first", 6) == 0);
  CHECK(second.size == 7 && memcmp(second.bytes, "\xa6" "second", 7) == 0);
  mp_codec_release(&first);
  mp_codec_release(&second);
  mp_codec_release(&second);
  lua_close(L);
}

TEST(a_released_buffer_is_used_again) {
  lua_State *L = state_open();
  struct mp_codec_request what = {1, 1, MP_CODEC_DATA, "value"};
  struct mp_codec_view view;
  const unsigned char *bytes;
  lua_pushliteral(L, "x");
  mp_codec_encode(L, &what, &view);
  bytes = view.bytes;
  mp_codec_release(&view);
  mp_codec_encode(L, &what, &view);
  CHECK(view.bytes == bytes);
  mp_codec_release(&view);
  lua_close(L);
}

TEST(a_long_string_is_its_own_tail) {
  lua_State *L = state_open();
  struct mp_codec_request what = {1, 1, MP_CODEC_TAIL, "value"};
  struct mp_codec_view view;
  char *long_string = malloc(100000);
  memset(long_string, 'x', 100000);
  lua_pushlstring(L, long_string, 100000);
  free(long_string);
  mp_codec_encode(L, &what, &view);
  CHECK_EQ(view.size, 5);
  CHECK_EQ(view.tail_size, 100000);
  CHECK((const char *)view.tail == lua_tostring(L, 1));
  mp_codec_release(&view);
  lua_close(L);
}

static int fails(lua_State *L) {
  (void)L;
  return luaL_error(L, "a foreign error");
}

TEST(an_error_in_between_costs_nothing_but_the_buffer) {
  lua_State *L = state_open();
  int i;
  CHECK_EQ(luaL_dostring(L, "return setmetatable({}, {})"), LUA_OK);
  lua_getmetatable(L, 1);
  lua_pushcfunction(L, mp_codec_register_class);
  lua_pushliteral(L, "Bad");
  lua_pushvalue(L, 2);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, fails);
  lua_setfield(L, -2, "pack");
  lua_pushcfunction(L, fails);
  lua_setfield(L, -2, "unpack");
  lua_call(L, 3, 0);
  lua_settop(L, 1);
  for (i = 0; i < 10; i++) {
    CHECK_EQ(call_through(L), LUA_ERRRUN);
    CHECK_STR(lua_tostring(L, -1), "a foreign error");
    lua_settop(L, 1);
  }
  lua_close(L);
}

TEST(a_state_that_was_not_prepared_says_so) {
  lua_State *L = luaL_newstate();
  lua_pushinteger(L, 1);
  CHECK_EQ(call_through(L), LUA_ERRRUN);
  CHECK_STR(lua_tostring(L, -1), "the codec of this Lua state was not initialised");
  lua_close(L);
}
