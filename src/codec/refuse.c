/*
** Refusals: the path to what cannot be sent.
**
** The path is read off the open frames, only when it is needed: each knows which of its parts is
** at hand. `args[2].handlers.on_close: a thread cannot be sent`.
*/
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include <lauxlib.h>

#include "encode.h"

#define KEY_MAX 60

static int is_name(const char *s, size_t n) {
  size_t i;
  if (n == 0 || n > KEY_MAX || isdigit((unsigned char)s[0])) return 0;
  for (i = 0; i < n; i++)
    if (s[i] != '_' && (!isascii((unsigned char)s[i]) || !isalnum((unsigned char)s[i]))) return 0;
  return 1;
}

/* A string as it would stand in a program, cut to a readable length. */
static void push_quoted(lua_State *L, const char *s, size_t n) {
  luaL_Buffer b;
  size_t i, shown = n > KEY_MAX ? KEY_MAX : n;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "[\"");
  for (i = 0; i < shown; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\') luaL_addchar(&b, '\\');
    if (c >= 0x20 && c != 0x7f) {
      luaL_addchar(&b, (char)c);
    } else {
      char text[8];
      snprintf(text, sizeof text, "\\%03d", c);
      luaL_addstring(&b, text);
    }
  }
  luaL_addstring(&b, n > shown ? "...\"]" : "\"]");
  luaL_pushresult(&b);
}

static void push_key(lua_State *L, int slot) {
  size_t n;
  const char *s;
  switch (lua_type(L, slot)) {
    case LUA_TSTRING:
      s = lua_tolstring(L, slot, &n);
      if (is_name(s, n)) lua_pushfstring(L, ".%s", s);
      else push_quoted(L, s, n);
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, slot)) lua_pushfstring(L, "[%I]", lua_tointegerx(L, slot, NULL));
      else lua_pushfstring(L, "[%f]", lua_tonumberx(L, slot, NULL));
      break;
    case LUA_TBOOLEAN: lua_pushstring(L, lua_toboolean(L, slot) ? "[true]" : "[false]"); break;
    default: lua_pushfstring(L, "[a %s]", luaL_typename(L, slot));
  }
}

/* The step of one pair: its value under the key, or the key itself. */
static void push_pair(lua_State *L, int key, int at_key) {
  if (at_key) lua_pushfstring(L, ".(a %s as key)", luaL_typename(L, key));
  else push_key(L, key);
}

static void push_upvalue(lua_State *L, const struct frame *f) {
  const char *name = lua_getupvalue(L, f->slot, (int)f->i);
  if (!name) {
    lua_pushliteral(L, "");
    return;
  }
  lua_pop(L, 1);
  lua_pushfstring(L, ".(upvalue %s)", name);
}

static void push_step(struct encoder *e, const struct frame *f) {
  lua_State *L = e->L;
  switch (f->kind) {
    case FRAME_ROOT: /* several values; a single one has no step */
    case FRAME_ARRAY: lua_pushfstring(L, "[%d]", (int)f->i); break;
    case FRAME_PAIRS: {
      int key = f->slot + (int)((f->i - 1) & ~1u);
      push_pair(L, key, (f->i & 1) != 0);
      break;
    }
    case FRAME_STREAM: push_pair(L, f->top + 1, f->n != 0); break;
    case FRAME_PACKED: lua_pushliteral(L, ".(packed)"); break;
    case FRAME_UPVALUES: push_upvalue(L, f); break;
  }
}

/* The middle of a long path says little. */
static int is_shown(uint32_t i, uint32_t depth) {
  return depth < 40 || i < 20 || i + 20 >= depth;
}

static void push_path(struct encoder *e) {
  lua_State *L = e->L;
  uint32_t i;
  lua_pushstring(L, e->root);
  for (i = 0; i < e->depth; i++) {
    if (!is_shown(i, e->depth)) continue;
    push_step(e, &e->frames[i]);
    if (e->depth >= 40 && i == 19) lua_pushliteral(L, " ... ");
    else lua_pushliteral(L, "");
    lua_concat(L, 3);
  }
}

void mp_encode_refuse(struct encoder *e, const char *format, ...) {
  lua_State *L = e->L;
  char reason[200];
  va_list arguments;
  if (e->escape) longjmp(*e->escape, 1);
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    lua_settop(L, e->state_index + FIXED_SLOTS - 1);
    e->depth = 0;
  }
  push_path(e);
  lua_pushfstring(L, "%s: %s", lua_tostring(L, -1), reason);
  e->state->busy = 0;
  mp_codec_raise(L, "SerializationError");
}
