/*
** The decoder under libFuzzer. Whatever the bytes are, decoding ends in values or in
** a SerializationError, never takes more memory than a multiple of their length, and what was
** decoded encodes and decodes again to an equal value. The one exception is an object that holds
** itself through its pack function: whether it can be sent hangs on the order in which the walk
** meets it, and that order is Lua's. Code is not allowed: Lua trusts bytecode.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "src/codec/codec.h"

/* Bytes of Lua memory per byte of message: a table that holds a table, and its frame. */
#define MULTIPLE 1024
#define SLACK ((size_t)1 << 20)

static size_t used, limit = SIZE_MAX;
static size_t settled; /* what was in use after the last whole collection */
static int again; /* what was decoded is being encoded: nothing may fail now */

static void *counted(void *data, void *p, size_t old, size_t wanted) {
  size_t before = p ? old : 0;
  void *fresh;
  (void)data;
  if (wanted == 0) {
    free(p);
    used -= before;
    return NULL;
  }
  if (used - before + wanted > limit) {
    fprintf(stderr, "%zu bytes for a small message\n", used - before + wanted);
    abort();
  }
  fresh = realloc(p, wanted);
  if (fresh) used += wanted - before;
  return fresh;
}

/* Both types are made of the same bytes; equality is the number's. */
static const char *const prelude =
    "local codec = ...\n"
    "local Plain, Packed = {}, {}\n"
    "codec.register_class('A', Plain)\n"
    "codec.register_class('B', Packed, {pack = function(t) return t.a, t.b end,\n"
    "  unpack = function(a, b) return setmetatable({a = a, b = b}, Packed) end})\n"
    "local function differ(a, b, seen)\n"
    "  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return true end\n"
    "  if a ~= a then return b == b end\n"
    "  if type(a) == 'userdata' then return false end\n"
    "  if type(a) ~= 'table' then return a ~= b end\n"
    "  if seen[a] or seen[b] then return seen[a] ~= b or seen[b] ~= a end\n"
    "  seen[a], seen[b] = b, a\n"
    "  if getmetatable(a) ~= getmetatable(b) then return true end\n"
    "  local n = 0\n"
    "  for k, v in next, a do\n"
    "    n = n + 1\n"
    "    if type(k) ~= 'table' and type(k) ~= 'userdata' and\n"
    "      codec.deeper(differ, v, rawget(b, k), seen) then return true end\n"
    "  end\n"
    "  for k in next, b do n = n - 1 end\n"
    "  return n ~= 0\n"
    "end\n"
    "return differ\n";

/* Calls a comparison unless it is too deep for C's stack, where equality is taken on trust. */
static int deeper(lua_State *L) {
  static int depth;
  if (depth > 150) return 0;
  depth++;
  lua_call(L, 3, 1);
  depth--;
  return 1;
}

static int ticket(lua_State *L, int index, uint64_t out[2]) {
  memcpy(out, lua_touserdata(L, index), 16);
  return 1;
}

static void redeem(lua_State *L, const uint64_t t[2]) {
  memcpy(lua_newuserdatauv(L, 16, 0), t, 16);
}

static lua_State *state_open(void) {
  static const struct mp_codec_hooks hooks = {ticket, redeem, NULL};
  lua_State *L = lua_newstate(counted, NULL
#if LUA_VERSION_NUM >= 505
                              , 1
#endif
  );
  luaL_openlibs(L);
  mp_codec_init(L, &hooks);
  luaL_loadstring(L, prelude);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, mp_codec_register_class);
  lua_setfield(L, -2, "register_class");
  lua_pushcfunction(L, deeper);
  lua_setfield(L, -2, "deeper");
  lua_call(L, 1, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "differ");
  return L;
}

struct input {
  const uint8_t *bytes;
  size_t size;
};

/* A value must encode; what comes of that must decode to the same. */
static void check_again(lua_State *L, int slot) {
  struct mp_codec_request what = {slot, 1, MP_CODEC_OBJECTS, "value"};
  struct mp_codec_view view;
  again = 1;
  mp_codec_encode(L, &what, &view);
  mp_codec_decode(L, view.bytes, view.size, MP_CODEC_OBJECTS);
  mp_codec_release(&view);
  lua_getfield(L, LUA_REGISTRYINDEX, "differ");
  lua_pushvalue(L, slot);
  lua_pushvalue(L, -3);
  lua_createtable(L, 0, 0);
  lua_call(L, 3, 1);
  if (lua_toboolean(L, -1)) abort();
  again = 0;
}

static int decode_one(lua_State *L) {
  struct input *in = lua_touserdata(L, 1);
  limit = used + in->size * MULTIPLE + SLACK;
  mp_codec_decode(L, in->bytes, in->size, MP_CODEC_OBJECTS);
  limit = SIZE_MAX;
  check_again(L, 2);
  return 0;
}

static int decode_several(lua_State *L) {
  struct input *in = lua_touserdata(L, 1);
  mp_codec_decode(L, in->bytes, in->size, MP_CODEC_VALUES);
  return 0;
}

/* The error on top may come out: one of the codec's own, and not from what was decoded. */
static int allowed(lua_State *L) {
  if (!lua_istable(L, -1)) return 0;
  lua_getfield(L, -1, "message");
  return !again || strstr(lua_tostring(L, -1), "holds itself through its pack function");
}

static void run(lua_State *L, lua_CFunction f, struct input *in) {
  lua_settop(L, 0);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, in);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK && !allowed(L)) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  again = 0;
  limit = SIZE_MAX;
  lua_settop(L, 0);
}

/* Little garbage may lie about: Lua's table of strings doubles at once, and is counted too. */
static void settle(lua_State *L) {
  if (used < settled + SLACK / 4) return;
  lua_gc(L, LUA_GCCOLLECT);
  settled = used;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static lua_State *L;
  struct input in = {bytes, size};
  if (!L) L = state_open();
  settle(L);
  run(L, decode_one, &in);
  run(L, decode_several, &in);
  return 0;
}
