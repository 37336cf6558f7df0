/*
** The names of the globals that a function reads.
**
** A global x is _ENV.x, and the compiler makes GETTABUP of it: upvalue, constant. So the dump of
** a function is walked: for each prototype its code, its constants and where its upvalues come
** from (which tells whether one is the _ENV of the function that was dumped). Code that takes
** _ENV into a register (a name too long or a constant too far away for GETTABUP, or _ENV[x])
** counts as reading every string constant that it has: too many names do no harm here.
**
** Lua 5.4 and 5.5 differ in how numbers and strings stand in a dump; the opcodes in question are
** the same. Anything unexpected ends the walk, with the names that were found.
*/
#include "proto.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include <lauxlib.h>

#define OPCODE(i) ((i)&0x7fu)
#define ARG_B(i) (((i) >> 16) & 0xffu)
#define ARG_C(i) (((i) >> 24) & 0xffu)
#define OP_GETUPVAL 9u
#define OP_GETTABUP 11u

/* Tags of constants. */
enum {
  TAG_NIL = 0,
  TAG_FALSE = 1,
  TAG_TRUE = 17,
  TAG_INT = 3,
  TAG_FLOAT = 19,
  TAG_SHORT = 4,
  TAG_LONG = 20
};

#define MAX_UPVALUES 256
/* How deep Lua's own parser lets functions nest. */
#define MAX_NESTING 250

struct walk {
  const struct proto_query *query;
  const unsigned char *start, *at, *end;
  int good;
  int saved; /* stack index: strings of the dump by their number (5.5) */
  lua_Integer saved_count;
};

static const unsigned char *skip(struct walk *w, size_t n) {
  const unsigned char *p = w->at;
  if (!w->good || (size_t)(w->end - p) < n) {
    w->good = 0;
    return NULL;
  }
  w->at += n;
  return p;
}

static unsigned byte(struct walk *w) {
  const unsigned char *p = skip(w, 1);
  return p ? *p : 0;
}

static size_t varint(struct walk *w) {
  size_t x = 0;
  unsigned b;
  do {
    b = byte(w);
    x = (x << 7) | (b & 0x7f);
#if LUA_VERSION_NUM >= 505
  } while (w->good && (b & 0x80));
#else
  } while (w->good && !(b & 0x80));
#endif
  return x;
}

static size_t count(struct walk *w) {
  size_t n = varint(w);
  if (n > INT_MAX) w->good = 0;
  return w->good ? n : 0;
}

#if LUA_VERSION_NUM >= 505
#define HEADER 40

static void align(struct walk *w, size_t n) {
  size_t odd = (size_t)(w->at - w->start) % n;
  if (odd) skip(w, n - odd);
}

/* Pushes the string, or nil. One that was met before is a number. */
static void string(struct walk *w) {
  lua_State *L = w->query->L;
  size_t n = varint(w);
  if (n == 0) {
    lua_rawgeti(L, w->saved, (lua_Integer)varint(w));
  } else {
    const char *s = (const char *)skip(w, n);
    lua_pushlstring(L, s ? s : "", s ? n - 1 : 0);
    lua_pushvalue(L, -1);
    lua_rawseti(L, w->saved, ++w->saved_count);
  }
}

static void integer(struct walk *w) { varint(w); }

#else
#define HEADER 31

static void align(struct walk *w, size_t n) {
  (void)w;
  (void)n;
}

static void string(struct walk *w) {
  size_t n = varint(w);
  const char *s = n > 0 ? (const char *)skip(w, n - 1) : NULL;
  if (s) lua_pushlstring(w->query->L, s, n - 1);
  else lua_pushnil(w->query->L);
}

static void integer(struct walk *w) { skip(w, sizeof(lua_Integer)); }
#endif

static void string_skip(struct walk *w) {
  string(w);
  lua_settop(w->query->L, -2);
}

/* Makes a table of the string constants by their numbers, from 1. */
static void constants(struct walk *w) {
  lua_State *L = w->query->L;
  size_t n = count(w), i;
  lua_createtable(L, 0, 0);
  for (i = 1; i <= n && w->good; i++) {
    switch (byte(w)) {
      case TAG_NIL:
      case TAG_FALSE:
      case TAG_TRUE: break;
      case TAG_INT: integer(w); break;
      case TAG_FLOAT: skip(w, sizeof(lua_Number)); break;
      case TAG_SHORT:
      case TAG_LONG:
        string(w);
        lua_rawseti(L, -2, (lua_Integer)i);
        break;
      default: w->good = 0;
    }
  }
}

/* The name on top. */
static void note(struct walk *w) {
  size_t n;
  const char *s = lua_tolstring(w->query->L, -1, &n);
  w->query->note(w->query->data, s, n);
}

static void note_all(struct walk *w) {
  lua_State *L = w->query->L;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    note(w);
    lua_settop(L, -2);
  }
}

/* The table of string constants is on top. */
static void code(struct walk *w, const unsigned char *at, size_t n, const unsigned char *is_env) {
  lua_State *L = w->query->L;
  size_t i;
  for (i = 0; i < n; i++, at += 4) {
    uint32_t instruction;
    memcpy(&instruction, at, sizeof instruction);
    if (OPCODE(instruction) == OP_GETTABUP && is_env[ARG_B(instruction)]) {
      if (lua_rawgeti(L, -1, (lua_Integer)ARG_C(instruction) + 1) == LUA_TSTRING) note(w);
      lua_settop(L, -2);
    } else if (OPCODE(instruction) == OP_GETUPVAL && is_env[ARG_B(instruction)]) {
      note_all(w);
    }
  }
}

/* Where each upvalue comes from; the outermost function's are given. */
static void upvalues(struct walk *w, const unsigned char *outer, unsigned char *is_env) {
  size_t n = count(w), i;
  memset(is_env, 0, MAX_UPVALUES);
  if (n > MAX_UPVALUES) w->good = 0;
  for (i = 0; i < n && w->good; i++) {
    unsigned in_stack = byte(w), index = byte(w);
    byte(w);
    if (!outer) is_env[i] = w->query->is_env[i];
    else is_env[i] = !in_stack && outer[index & 0xff];
  }
}

static void debug_skip(struct walk *w) {
  size_t n, i;
  skip(w, count(w));
  n = count(w);
#if LUA_VERSION_NUM >= 505
  if (n > 0) {
    align(w, sizeof(int));
    skip(w, n * 2 * sizeof(int));
  }
#else
  for (i = 0; i < 2 * n && w->good; i++) varint(w);
#endif
  n = count(w);
  for (i = 0; i < n && w->good; i++) {
    string_skip(w);
    varint(w);
    varint(w);
  }
  n = count(w);
  for (i = 0; i < n && w->good; i++) string_skip(w);
}

static void prototype(struct walk *w, const unsigned char *outer, int depth) {
  unsigned char is_env[MAX_UPVALUES];
  const unsigned char *instructions;
  size_t n, i;
  if (depth > MAX_NESTING || !lua_checkstack(w->query->L, 8)) w->good = 0;
#if LUA_VERSION_NUM < 505
  string_skip(w);
#endif
  varint(w);
  varint(w);
  skip(w, 3);
  n = count(w);
  align(w, 4);
  instructions = skip(w, n * 4);
  constants(w);
  upvalues(w, outer, is_env);
  if (w->good) code(w, instructions, n, is_env);
  lua_settop(w->query->L, -2);
  n = count(w);
  for (i = 0; i < n && w->good; i++) prototype(w, is_env, depth + 1);
#if LUA_VERSION_NUM >= 505
  string_skip(w);
#endif
  debug_skip(w);
}

void mp_proto_globals(const struct proto_query *query, const unsigned char *dump, size_t size) {
  struct walk w = {query, dump, dump, dump + size, 1, 0, 0};
  int top = lua_gettop(query->L);
  lua_createtable(query->L, 0, 0);
  w.saved = top + 1;
  skip(&w, HEADER + 1);
  if (w.good) prototype(&w, NULL, 0);
  lua_settop(query->L, top);
}
