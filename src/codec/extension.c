/*
** Extension types to values.
**
** Types that run code, load modules or redeem tickets need the mode that allows them; a decoder of
** plain data refuses them before looking at their contents. Classes and foreign userdata are made
** only by what was registered in this state.
*/
#include "decode.h"
#include "name.h"

#include <lauxlib.h>

static void allow(struct decoder *d, const unsigned char *start, unsigned mode, const char *what) {
  if (!(d->mode & mode)) mp_decode_fail(d, start, "%s is not plain data", what);
}

/* The object on top came from the extension [start, end). */
static int finish(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  if (d->at != end) mp_decode_fail(d, d->at, "an extension's contents do not fill it");
  if (mp_decode_marked(d, start)) mp_decode_note(d, start);
  return 1;
}

static int decode_back(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  int type = LUA_TNIL;
  if (end - d->at != 4) mp_decode_fail(d, start, "a reference must be four bytes");
  if (lua_type(d->L, REFS_INDEX(d)) == LUA_TTABLE)
    type = lua_rawgeti(d->L, REFS_INDEX(d), (lua_Integer)load32(d->at));
  if (type == LUA_TNIL) mp_decode_fail(d, start, "a reference to an object that is not there");
  d->at = end;
  return 1;
}

/* Its parts, joined by zeros, are the name as name.h has it. */
static int decode_name(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  luaL_Buffer b;
  size_t n;
  const char *part, *name;
  allow(d, start, MP_CODEC_CODE, "a module's value");
  luaL_buffinit(d->L, &b);
  for (;;) {
    part = mp_decode_text(d, end, &n);
    luaL_addlstring(&b, part, n);
    if (d->at >= end) break;
    luaL_addchar(&b, '\0');
  }
  luaL_pushresult(&b);
  name = lua_tolstring(d->L, -1, &n);
  if (!mp_name_find(d->L, name, n)) mp_decode_fail(d, start, "%s", lua_tostring(d->L, -1));
  lua_remove(d->L, -2);
  return finish(d, start, end);
}

static int decode_ticket(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  const struct mp_codec_hooks *hooks = mp_codec_hooks_of(d->L);
  void (*redeem)(lua_State *, const uint64_t *) = hooks ? hooks->redeem : NULL;
  uint64_t ticket[2];
  allow(d, start, MP_CODEC_OBJECTS, "a shared object");
  if (end - d->at != 16) mp_decode_fail(d, start, "a ticket must be sixteen bytes");
  memcpy(ticket, d->at, sizeof ticket);
  d->at = end;
  if (redeem) redeem(d->L, ticket);
  else mp_decode_fail(d, start, "no shared object is expected here");
  return finish(d, start, end);
}

/* Reads a userdata type's name and pushes its description. */
static void push_foreign(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  size_t n;
  const char *name = mp_decode_text(d, end, &n);
  mp_codec_table(d->L, CODEC_FOREIGN);
  lua_pushlstring(d->L, name, n);
  lua_pushvalue(d->L, -1);
  if (lua_rawget(d->L, -3) != LUA_TTABLE)
    mp_decode_fail(d, start, "userdata type '%s' is not registered here",
                   lua_tostring(d->L, -2));
  lua_replace(d->L, -3);
  lua_settop(d->L, -2);
}

/* Pushes the class that comes next: by its registered name, or by where it stands in a module. */
static void push_class(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  lua_State *L = d->L;
  unsigned c = d->at < end ? *d->at : 0;
  size_t n;
  const char *name;
  if (c == WIRE_EXT32 && end - d->at > 6 && d->at[5] == EXT_NAME) {
    if (!mp_decode_value(d) || lua_type(L, -1) != LUA_TTABLE)
      mp_decode_fail(d, start, "a class must be a table");
    return;
  }
  name = mp_decode_text(d, end, &n);
  mp_codec_table(L, CODEC_NAMES);
  lua_pushlstring(L, name, n);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TTABLE) {
    lua_rawgeti(L, -1, TYPE_CLASS);
    lua_replace(L, -4);
    lua_settop(L, -3);
  } else {
    lua_settop(L, -2);
    lua_remove(L, -2);
    mp_decode_waiting_class(d, start);
  }
}

static int decode_instance(struct decoder *d, const unsigned char *start,
                           const unsigned char *end) {
  push_class(d, start, end);
  return mp_decode_table(d, start, end);
}

static int decode_class(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  allow(d, start, MP_CODEC_CODE, "a class");
  push_class(d, start, end);
  return finish(d, start, end);
}

/* Pushes the description of the type whose packed object follows. */
static void push_packed_type(struct decoder *d, const unsigned char *start,
                             const unsigned char *end, enum codec_table types) {
  if (types == CODEC_FOREIGN) {
    push_foreign(d, start, end);
    return;
  }
  push_class(d, start, end);
  mp_codec_table(d->L, CODEC_CLASSES);
  lua_insert(d->L, -2);
  lua_rawget(d->L, -2);
  lua_remove(d->L, -2);
  if (lua_type(d->L, -1) != LUA_TTABLE)
    mp_decode_fail(d, start, "a packed object whose class is not registered here");
}

static int decode_packed(struct decoder *d, const unsigned char *start, const unsigned char *end,
                         enum codec_table types) {
  struct open *o;
  size_t n;
  int marked = mp_decode_marked(d, start);
  push_packed_type(d, start, end, types);
  if (lua_rawgeti(d->L, -1, TYPE_UNPACK) != LUA_TFUNCTION)
    mp_decode_fail(d, start, "a packed object whose class has no unpack function here");
  lua_remove(d->L, -2);
  n = mp_decode_count(d, end);
  if (n > (size_t)(end - d->at))
    mp_decode_fail(d, start, "%zu values are promised, and the extension ends before", n);
  o = mp_decode_open(d, OPEN_PACKED, lua_gettop(d->L) + 1, n);
  o->end = end;
  o->mark = marked ? start : NULL;
  if (!lua_checkstack(d->L, (int)n + DECODE_ROOM)) mp_decode_fail(d, start, "nested too deeply");
  d->ceiling = lua_gettop(d->L) + (int)n + DECODE_ROOM;
  return 0;
}

void mp_decode_unpack(struct decoder *d, struct open *o) {
  const unsigned char *mark = o->mark;
  lua_call(d->L, lua_gettop(d->L) - o->slot + 1, 1);
  if (mark) mp_decode_note(d, mark);
}

int mp_decode_extension(struct decoder *d, const unsigned char *start, size_t n, int type) {
  const unsigned char *end = d->at + n;
  if (lua_gettop(d->L) + DECODE_ROOM > d->ceiling) {
    if (!lua_checkstack(d->L, DECODE_ROOM)) mp_decode_fail(d, start, "nested too deeply");
    d->ceiling = lua_gettop(d->L) + DECODE_ROOM;
  }
  switch (type) {
    case EXT_BACK: return decode_back(d, start, end);
    case EXT_NAME: return decode_name(d, start, end);
    case EXT_FUNCTION:
      allow(d, start, MP_CODEC_CODE, "a function");
      return mp_decode_function(d, start, end);
    case EXT_INSTANCE: return decode_instance(d, start, end);
    case EXT_PACKED: return decode_packed(d, start, end, CODEC_NAMES);
    case EXT_FOREIGN: return decode_packed(d, start, end, CODEC_FOREIGN);
    case EXT_CLASS: return decode_class(d, start, end);
    case EXT_TICKET: return decode_ticket(d, start, end);
    default: mp_decode_fail(d, start, "extension type %d is unknown", type);
  }
}

/* An envelope's prefix and marks. Whether the message is one; the body is then what is left. */
int mp_decode_envelope(struct decoder *d) {
  const unsigned char *p = d->at;
  size_t size = (size_t)(d->end - p), marks;
  if (size < 6 || p[0] != WIRE_EXT32 || p[5] != EXT_ENVELOPE) return 0;
  if (load32(p + 1) != size - 6 || size < ENVELOPE_PREFIX)
    mp_decode_fail(d, p + 1, "the envelope's length is not the message's");
  marks = load32(p + 6);
  if (marks > (size - ENVELOPE_PREFIX) / 4)
    mp_decode_fail(d, p + 6, "%zu marks do not fit the envelope", marks);
  d->at = d->body = p + ENVELOPE_PREFIX;
  d->end -= marks * 4;
  if (marks == 0) return 1;
  lua_createtable(d->L, 0, (int)(marks < 1024 ? marks : 1024));
  lua_replace(d->L, REFS_INDEX(d));
  d->next = d->body + load32(d->end);
  d->marks = d->end + 4;
  d->mark_count = marks - 1;
  return 1;
}
