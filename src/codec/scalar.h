/*
** The short way for a message that is one small value: nil, a boolean, a number, or a string of up
** to 54 ASCII characters. The same bytes as mp_codec_encode's, with no buffer and no state.
*/
#ifndef MP_CODEC_SCALAR_H
#define MP_CODEC_SCALAR_H

#include <lua.h>

#include "wire.h"

#define MP_CODEC_SCALAR_MAX 56u
#define MP_CODEC_SCALAR_TEXT (MP_CODEC_SCALAR_MAX - 2)

static inline size_t mp_codec_scalar_integer(lua_Integer v, unsigned char *out) {
  uint64_t u = (uint64_t)v;
  if (v >= -32 && v <= 0x7f) {
    out[0] = (unsigned char)v;
    return 1;
  }
  if (v >= 0 ? v <= 0xff : v >= INT8_MIN) {
    out[0] = v >= 0 ? WIRE_UINT8 : WIRE_INT8;
    out[1] = (unsigned char)u;
    return 2;
  }
  if (v >= 0 ? v <= 0xffff : v >= INT16_MIN) {
    out[0] = v >= 0 ? WIRE_UINT16 : WIRE_INT16;
    store16(out + 1, (uint32_t)u & 0xffff);
    return 3;
  }
  if (v >= 0 ? v <= 0xffffffff : v >= INT32_MIN) {
    out[0] = v >= 0 ? WIRE_UINT32 : WIRE_INT32;
    store32(out + 1, (uint32_t)u);
    return 5;
  }
  out[0] = v >= 0 ? WIRE_UINT64 : WIRE_INT64;
  store64(out + 1, u);
  return 9;
}

static inline size_t mp_codec_scalar_float(lua_Number v, unsigned char *out) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  out[0] = WIRE_FLOAT64;
  store64(out + 1, bits);
  return 9;
}

/* 0 unless all n bytes are ASCII. */
static inline size_t mp_codec_scalar_text(const char *s, size_t n, unsigned char *out) {
  size_t head = n < 32 ? 1 : 2, i = 0;
  uint64_t all = 0, word;
  for (; i + 8 <= n; i += 8) {
    memcpy(&word, s + i, 8);
    all |= word;
  }
  for (; i < n; i++) all |= (unsigned char)s[i];
  if ((all & UINT64_C(0x8080808080808080)) != 0) return 0;
  if (head == 1) out[0] = (unsigned char)(WIRE_FIXSTR | n);
  else out[0] = WIRE_STR8, out[1] = (unsigned char)n;
  memcpy(out + head, s, n);
  return head + n;
}

/* Encodes the value at `index` into MP_CODEC_SCALAR_MAX bytes; gives how many, 0 if it is no small
** value. Never raises. */
static inline size_t mp_codec_encode_scalar(lua_State *L, int index, unsigned char *out) {
  int whole, type = lua_type(L, index);
  if (type == LUA_TNUMBER) {
    if (!lua_isinteger(L, index)) return mp_codec_scalar_float(lua_tonumberx(L, index, NULL), out);
    return mp_codec_scalar_integer(lua_tointegerx(L, index, &whole), out);
  }
  if (type == LUA_TSTRING) {
    size_t n;
    const char *s = lua_tolstring(L, index, &n);
    return n <= MP_CODEC_SCALAR_TEXT ? mp_codec_scalar_text(s, n, out) : 0;
  }
  if (type != LUA_TBOOLEAN && type != LUA_TNIL) return 0;
  out[0] = type == LUA_TNIL ? WIRE_NIL : lua_toboolean(L, index) ? WIRE_TRUE : WIRE_FALSE;
  return 1;
}

/* Pushes the number, boolean or nil that the n bytes are; 0 if they are anything else, or not in
** the form above. Never raises. The caller has made sure of a place on the stack. */
static inline int mp_codec_decode_number(lua_State *L, const unsigned char *p, size_t n) {
  unsigned c = n > 0 ? *p : WIRE_FIXMAP;
  if (n == 1) {
    if (c <= 0x7f || c >= WIRE_NEGFIX) lua_pushinteger(L, (signed char)c);
    else if (c == WIRE_NIL) lua_pushnil(L);
    else if (c == WIRE_TRUE || c == WIRE_FALSE) lua_pushboolean(L, c == WIRE_TRUE);
    else return 0;
    return 1;
  }
  if (n == 3 && c == WIRE_UINT16) lua_pushinteger(L, (lua_Integer)load16(p + 1));
  else if (n == 5 && c == WIRE_UINT32) lua_pushinteger(L, (lua_Integer)load32(p + 1));
  else if (n == 2 && c == WIRE_UINT8) lua_pushinteger(L, p[1]);
  else if (n == 2 && c == WIRE_INT8) lua_pushinteger(L, (signed char)p[1]);
  else if (n == 3 && c == WIRE_INT16) lua_pushinteger(L, (int16_t)load16(p + 1));
  else if (n == 5 && c == WIRE_INT32) lua_pushinteger(L, (int32_t)load32(p + 1));
  else if (n == 9 && (c == WIRE_INT64 || (c == WIRE_UINT64 && p[1] < 0x80)))
    lua_pushinteger(L, (lua_Integer)load64(p + 1));
  else if (n == 9 && c == WIRE_FLOAT64) {
    uint64_t bits = load64(p + 1);
    lua_Number v;
    memcpy(&v, &bits, sizeof v);
    lua_pushnumber(L, v);
  } else return 0;
  return 1;
}

/* Pushes the string that the n bytes are; 0 if they are anything else. Raises only for want of
** memory. */
static inline int mp_codec_decode_text(lua_State *L, const unsigned char *p, size_t n) {
  if (n == 0) return 0;
  if ((p[0] & 0xe0) == WIRE_FIXSTR && n == 1 + (size_t)(p[0] & 0x1f))
    lua_pushlstring(L, (const char *)p + 1, n - 1);
  else if (n >= 2 && p[0] == WIRE_STR8 && n == 2 + (size_t)p[1])
    lua_pushlstring(L, (const char *)p + 2, n - 2);
  else
    return 0;
  return 1;
}

#endif
