/*
** Numbers: what a Lua value is as an element of an array, and the other way round.
**
** The codes c and u are characters: a string of one, or its number; they are read as strings. All
** others are numbers: an integer may come as a float that has no fraction; a string is no number
** here. Many elements are packed into a userdata or a buffer on the Lua stack, so that an error in
** the middle leaves nothing behind.
*/
#include "number.h"

#include <errno.h>
#include <string.h>

static bool is_text(char code) {
  return code == 'c' || code == 'u';
}

static mp_number_type type_of(char code) {
  mp_number_type t = {1, 0, 0, 0};
  (void)mp_array_type(code, &t);
  return t;
}

char mp_lua_code_check(lua_State *L, int arg) {
  size_t length;
  mp_number_type t;
  if (lua_type(L, arg) != LUA_TSTRING) mp_lua_raise_type(L, arg, "type code");
  const char *code = lua_tolstring(L, arg, &length);
  if (length != 1 || mp_array_type(*code, &t) != 0)
    mp_lua_raise(L, "ValueError", "no type code: %s; there are c b B h H i I l L q Q f d u",
                 mp_lua_show(L, arg));
  return *code;
}

/* ---- complaints ---- */

/* Raises "Array 'b', element 3: <text>"; the text is on top of the stack. */
static int complain(lua_State *L, const struct mp_lua_site *site, const char *kind) {
  const char *text = lua_tostring(L, -1);
  if (site->element == 0) return mp_lua_raise(L, kind, "%s '%c': %s", site->what, site->code, text);
  return mp_lua_raise(L, kind, "%s '%c', element %I: %s", site->what, site->code,
                      (LUAI_UACINT)site->element, text);
}

static int complain_type(lua_State *L, int index, const struct mp_lua_site *site) {
  const char *wanted = site->code == 'c'   ? "a string of one byte"
                       : site->code == 'u' ? "a string of one character"
                                           : "a number";
  const char *shown = mp_lua_show(L, index);
  lua_pushfstring(L, "%s is needed, not %s", wanted, shown);
  return complain(L, site, "TypeError");
}

int mp_lua_number_range(lua_State *L, const struct mp_lua_site *site) {
  mp_number_type t = type_of(site->code);
  const char *shown = mp_lua_show(L, -1);
  if (t.real)
    lua_pushfstring(L, "%s is out of its range", shown);
  else
    lua_pushfstring(L, "%s is out of its range, %I to %I", shown, (LUAI_UACINT)t.low,
                    (LUAI_UACINT)t.high);
  return complain(L, site, "ValueError");
}

/* ---- characters ---- */

/* Decodes one character of UTF-8 in [s, end): its length, 0 if it is none. */
static size_t character_decode(const unsigned char *s, const unsigned char *end, int64_t *out) {
  static const int64_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;
  if (n == 0 || (size_t)(end - s) < n) return 0;
  int64_t c = n == 1 ? *s : *s & (0x7f >> n);
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3f);
  }
  if (c < least[n] || c > 0x10ffff) return 0;
  *out = c;
  return n;
}

/* The string's first element, and how many bytes it took; 0: it is none. */
static size_t text_decode(char code, const char *s, size_t length, int64_t *out) {
  const unsigned char *at = (const unsigned char *)s;
  if (length == 0) return 0;
  if (code == 'u') return character_decode(at, at + length, out);
  *out = *at;
  return 1;
}

static mp_number text_check(lua_State *L, int index, const struct mp_lua_site *site) {
  size_t length;
  const char *s = lua_tolstring(L, index, &length);
  mp_number n;
  if (text_decode(site->code, s, length, &n.i) != length || length == 0)
    complain_type(L, index, site);
  return n;
}

/* ---- one element ---- */

static mp_number integer_check(lua_State *L, int index, const struct mp_lua_site *site) {
  mp_number_type t = type_of(site->code);
  int whole;
  mp_number n;
  n.i = lua_tointegerx(L, index, &whole);
  if (!whole) {
    lua_Number f = lua_tonumber(L, index);
    bool large = f >= 9223372036854775808.0 || f < -9223372036854775808.0;
    lua_pushvalue(L, index);
    if (large) mp_lua_number_range(L, site);
    const char *shown = mp_lua_show(L, -1);
    lua_pushfstring(L, "%s is not an integer", shown);
    complain(L, site, "ValueError");
  }
  if (n.i < t.low || n.i > t.high) {
    lua_pushvalue(L, index);
    mp_lua_number_range(L, site);
  }
  return n;
}

static mp_number real_check(lua_State *L, int index, const struct mp_lua_site *site) {
  char bytes[8];
  mp_number n;
  n.f = lua_tonumber(L, index);
  if (mp_number_pack(site->code, n, bytes) != 0) {
    lua_pushvalue(L, index);
    mp_lua_number_range(L, site);
  }
  return n;
}

mp_number mp_lua_number_check(lua_State *L, int index, const struct mp_lua_site *site) {
  if (is_text(site->code) && lua_type(L, index) == LUA_TSTRING) return text_check(L, index, site);
  if (lua_type(L, index) != LUA_TNUMBER) complain_type(L, index, site);
  if (site->code == 'f' || site->code == 'd') return real_check(L, index, site);
  return integer_check(L, index, site);
}

void mp_lua_number_push(lua_State *L, char code, mp_number n) {
  if (code == 'd' || code == 'f') {
    lua_pushnumber(L, n.f);
  } else if (code == 'c') {
    char byte = (char)n.i;
    lua_pushlstring(L, &byte, 1);
  } else if (code == 'u' && n.i == 0) {
    lua_pushlstring(L, "", 1); /* %U would end the format there */
  } else if (code == 'u') {
    lua_pushfstring(L, "%U", (unsigned long)n.i);
  } else {
    lua_pushinteger(L, n.i);
  }
}

/* ---- many elements ---- */

/* Adds the value on top of the stack, which it pops, to the buffer beneath it. */
static void add_element(lua_State *L, luaL_Buffer *b, struct mp_lua_site *site, unsigned size) {
  char bytes[8];
  site->element++;
  mp_number n = mp_lua_number_check(L, -1, site);
  lua_pop(L, 1);
  (void)mp_number_pack(site->code, n, bytes); /* its range was looked at */
  luaL_addlstring(b, bytes, size);
}

static size_t add_list(lua_State *L, int index, luaL_Buffer *b, struct mp_lua_site site) {
  lua_Integer n = luaL_len(L, index);
  unsigned size = type_of(site.code).size;
  for (lua_Integer i = 1; i <= n; i++) {
    lua_geti(L, index, i);
    add_element(L, b, &site, size);
  }
  return (size_t)n;
}

static size_t add_iterated(lua_State *L, int index, luaL_Buffer *b, struct mp_lua_site site) {
  unsigned size = type_of(site.code).size;
  for (;;) {
    lua_pushvalue(L, index);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) break;
    add_element(L, b, &site, size);
  }
  lua_pop(L, 1);
  return (size_t)site.element;
}

static size_t add_text(lua_State *L, int index, luaL_Buffer *b, struct mp_lua_site site) {
  size_t length, count = 0;
  const char *s = lua_tolstring(L, index, &length);
  unsigned size = type_of(site.code).size;
  for (size_t at = 0, n; at < length; at += n, count++) {
    char bytes[8];
    mp_number c;
    n = text_decode(site.code, s + at, length - at, &c.i);
    if (n == 0) {
      lua_pushfstring(L, "no UTF-8 at byte %I of the string", (LUAI_UACINT)at + 1);
      complain(L, &site, "ValueError");
    }
    (void)mp_number_pack(site.code, c, bytes);
    luaL_addlstring(b, bytes, size);
  }
  return count;
}

const void *mp_lua_numbers_pack(lua_State *L, int index, const struct mp_lua_site *site,
                                size_t *count) {
  luaL_Buffer b;
  index = lua_absindex(L, index);
  int kind = lua_type(L, index);
  bool text = kind == LUA_TSTRING && is_text(site->code);
  if (!text && kind != LUA_TFUNCTION && !mp_lua_is_list(L, index)) {
    const char *shown = mp_lua_show(L, index);
    lua_pushfstring(L, "a list%s or an iterator function is needed, not %s",
                    is_text(site->code) ? ", a string" : "", shown);
    complain(L, site, "TypeError");
  }
  luaL_buffinit(L, &b);
  if (text)
    *count = add_text(L, index, &b, *site);
  else if (kind == LUA_TFUNCTION)
    *count = add_iterated(L, index, &b, *site);
  else
    *count = add_list(L, index, &b, *site);
  luaL_pushresult(&b);
  return lua_tostring(L, -1);
}

static void push_characters(lua_State *L, const void *elements, size_t n) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < n; i++) {
    mp_number c;
    (void)mp_number_unpack('u', (const char *)elements + i * 4, &c);
    mp_lua_number_push(L, 'u', c);
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
}

void mp_lua_numbers_push(lua_State *L, char code, const void *elements, size_t n) {
  unsigned size = type_of(code).size;
  if (code == 'c') {
    lua_pushlstring(L, (const char *)elements, n);
  } else if (code == 'u') {
    push_characters(L, elements, n);
  } else {
    lua_createtable(L, n < INT32_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
      mp_number v;
      (void)mp_number_unpack(code, (const char *)elements + i * size, &v);
      mp_lua_number_push(L, code, v);
      lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
  }
}
