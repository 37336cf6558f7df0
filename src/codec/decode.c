/*
** Bytes to values: the walk.
**
** The mirror of encode.c: one loop, containers that are being read in an array of their own (the
** first few on the C stack), so that depth costs memory and never C stack.
**
** Bytes may come from anywhere. Every length is checked against what is left before it is used,
** and so is every count: the parts that all open containers still promise take at least a byte
** each, so their sum never exceeds the bytes that are left. What a message makes us allocate is
** thus bounded by a small multiple of its own size, whatever it claims.
**
** Most of the time goes into calls of Lua's API, so: arrays are set by one (array.c), and a key
** that comes again in a message is the string that was made for it.
**
** Errors are SerializationErrors that name the byte. Half-made values are garbage to Lua.
*/
#include "decode.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include <lauxlib.h>

void mp_decode_fail(struct decoder *d, const unsigned char *where, const char *format, ...) {
  char reason[240];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  lua_settop(d->L, d->base);
  lua_pushfstring(d->L, "bad message at byte %I: %s", (lua_Integer)(where - d->origin) + 1, reason);
  mp_codec_raise(d->L, "SerializationError");
}

static size_t bytes_left(const struct decoder *d) { return (size_t)(d->end - d->at); }

/* Takes n bytes. */
static const unsigned char *take(struct decoder *d, size_t n) {
  const unsigned char *p = d->at;
  if (bytes_left(d) < n) mp_decode_fail(d, p, "the message ends too early");
  d->at += n;
  return p;
}

static void more_open(struct decoder *d) {
  size_t used = d->depth * sizeof *d->open;
  struct open *memory = lua_newuserdatauv(d->L, used * 2, 0);
  memcpy(memory, d->open, used);
  lua_replace(d->L, MEMORY_INDEX(d));
  d->open = memory;
  d->room *= 2;
}

static void more_stack(struct decoder *d, int n) {
  if (!lua_checkstack(d->L, n)) mp_decode_fail(d, d->at, "nested too deeply");
  d->ceiling = lua_gettop(d->L) + n;
}

struct open *mp_decode_open(struct decoder *d, enum open_kind kind, int slot, size_t parts) {
  struct open *o;
  if (d->depth == d->room) more_open(d);
  if (d->depth > 0) d->promised += d->open[d->depth - 1].left - 1;
  if (parts + d->promised > bytes_left(d))
    mp_decode_fail(d, d->at, "%zu parts are promised, and the message ends before", parts);
  o = &d->open[d->depth++];
  o->end = o->mark = NULL;
  o->kind = kind;
  o->slot = slot;
  o->metatable = 0;
  o->i = 0;
  o->left = (uint32_t)parts;
  return o;
}

static int clip(size_t n) { return n > INT_MAX ? INT_MAX : (int)n; }

/* A head was read: makes the table and opens it. */
static struct open *table_open(struct decoder *d, const unsigned char *start, enum open_kind kind,
                               size_t n) {
  lua_State *L = d->L;
  int slot = lua_gettop(L) + 1, marked = mp_decode_marked(d, start);
  struct open *o;
  if (slot + DECODE_ROOM > d->ceiling) more_stack(d, DECODE_ROOM);
  o = mp_decode_open(d, kind, slot, kind == OPEN_MAP ? 2 * n : n);
  if (kind == OPEN_MAP) lua_createtable(L, 0, clip(n));
  else if (!marked && mp_decode_run_begin(d, n)) o->kind = OPEN_RUN;
  else lua_createtable(L, clip(n), 0);
  if (marked) mp_decode_note(d, start);
  return o;
}

/* Reads a table's head; -1 if another thing comes. */
static int table_head(struct decoder *d, size_t *n) {
  const unsigned char *p = take(d, 1);
  unsigned c = *p;
  if ((c & 0xf0) == WIRE_FIXMAP || (c & 0xf0) == WIRE_FIXARRAY) *n = c & 0x0f;
  else if (c == WIRE_MAP16 || c == WIRE_ARRAY16) *n = load16(take(d, 2));
  else if (c == WIRE_MAP32 || c == WIRE_ARRAY32) *n = load32(take(d, 4));
  else return -1;
  if ((c & 0xf0) == WIRE_FIXMAP || c == WIRE_MAP16 || c == WIRE_MAP32) return OPEN_MAP;
  return OPEN_ARRAY;
}

int mp_decode_table(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  const unsigned char *head = d->at;
  size_t n;
  int kind = table_head(d, &n);
  struct open *o;
  if (kind < 0) mp_decode_fail(d, head, "an instance must be a map or an array");
  o = table_open(d, start, (enum open_kind)kind, n);
  o->end = end;
  o->metatable = 1;
  return 0;
}

static int push_string(struct decoder *d, size_t n) {
  const unsigned char *p = take(d, n);
  lua_pushlstring(d->L, (const char *)p, n);
  return 1;
}

static int push_float(struct decoder *d, int single) {
  if (single) {
    uint32_t bits = load32(take(d, 4));
    float v;
    memcpy(&v, &bits, sizeof v);
    lua_pushnumber(d->L, (lua_Number)v);
  } else {
    uint64_t bits = load64(take(d, 8));
    double v;
    memcpy(&v, &bits, sizeof v);
    lua_pushnumber(d->L, v);
  }
  return 1;
}

/* Above Lua's integers there are only floats. */
static int push_unsigned(struct decoder *d, uint64_t v) {
  if (v <= INT64_MAX) lua_pushinteger(d->L, (lua_Integer)v);
  else lua_pushnumber(d->L, (lua_Number)v);
  return 1;
}

static int push_integer(struct decoder *d, int64_t v) {
  lua_pushinteger(d->L, v);
  return 1;
}

static int extension(struct decoder *d, const unsigned char *start, size_t n) {
  int type = *take(d, 1);
  if (type > INT8_MAX) type -= 256;
  if (n > bytes_left(d)) mp_decode_fail(d, start, "the message ends too early");
  return mp_decode_extension(d, start, n, type);
}

static int table_sized(struct decoder *d, const unsigned char *start, enum open_kind kind,
                       size_t n) {
  table_open(d, start, kind, n);
  return 0;
}

/* Leading bytes c0 to df. */
static int decode_long(struct decoder *d, const unsigned char *start) {
  unsigned c = *start;
  switch (c) {
    case WIRE_NIL: lua_pushnil(d->L); return 1;
    case WIRE_FALSE:
    case WIRE_TRUE: lua_pushboolean(d->L, c == WIRE_TRUE); return 1;
    case WIRE_BIN8:
    case WIRE_STR8: return push_string(d, *take(d, 1));
    case WIRE_BIN16:
    case WIRE_STR16: return push_string(d, load16(take(d, 2)));
    case WIRE_BIN32:
    case WIRE_STR32: return push_string(d, load32(take(d, 4)));
    case WIRE_EXT8: return extension(d, start, *take(d, 1));
    case WIRE_EXT16: return extension(d, start, load16(take(d, 2)));
    case WIRE_EXT32: return extension(d, start, load32(take(d, 4)));
    case WIRE_FLOAT32: return push_float(d, 1);
    case WIRE_FLOAT64: return push_float(d, 0);
    case WIRE_UINT8: return push_integer(d, *take(d, 1));
    case WIRE_UINT16: return push_integer(d, load16(take(d, 2)));
    case WIRE_UINT32: return push_integer(d, load32(take(d, 4)));
    case WIRE_UINT64: return push_unsigned(d, load64(take(d, 8)));
    case WIRE_INT8: return push_integer(d, (int8_t)*take(d, 1));
    case WIRE_INT16: return push_integer(d, (int16_t)load16(take(d, 2)));
    case WIRE_INT32: return push_integer(d, (int32_t)load32(take(d, 4)));
    case WIRE_INT64: return push_integer(d, (int64_t)load64(take(d, 8)));
    case WIRE_ARRAY16: return table_sized(d, start, OPEN_ARRAY, load16(take(d, 2)));
    case WIRE_ARRAY32: return table_sized(d, start, OPEN_ARRAY, load32(take(d, 4)));
    case WIRE_MAP16: return table_sized(d, start, OPEN_MAP, load16(take(d, 2)));
    case WIRE_MAP32: return table_sized(d, start, OPEN_MAP, load32(take(d, 4)));
    default:
      if (c >= WIRE_FIXEXT1 && c <= WIRE_FIXEXT16)
        return extension(d, start, (size_t)1 << (c - WIRE_FIXEXT1));
      mp_decode_fail(d, start, "0x%02x does not begin a value", c);
  }
}

int mp_decode_value(struct decoder *d) {
  const unsigned char *start = take(d, 1);
  unsigned c = *start;
  if (c < WIRE_FIXMAP) return push_integer(d, c);
  if (c >= WIRE_NEGFIX) return push_integer(d, (int8_t)c);
  if (c >= WIRE_NIL) return decode_long(d, start);
  if (c >= WIRE_FIXSTR) return push_string(d, c & 0x1f);
  table_open(d, start, c < WIRE_FIXARRAY ? OPEN_MAP : OPEN_ARRAY, c & 0x0f);
  return 0;
}

static void check_key(struct decoder *d) {
  lua_State *L = d->L;
  int type = lua_type(L, -1);
  if (type == LUA_TNIL) mp_decode_fail(d, d->at - 1, "nil cannot be a key");
  if (type == LUA_TNUMBER && !lua_isinteger(L, -1)) {
    lua_Number v = lua_tonumberx(L, -1, NULL);
    if (v != v) mp_decode_fail(d, d->at - 1, "NaN cannot be a key");
  }
}

static int is_same(const struct decoder *d, const struct key *k, const unsigned char *p, size_t n) {
  uint64_t a, b;
  if (k->size != n) return 0;
  if (n > sizeof a || d->end - p < (ptrdiff_t)sizeof a) return memcmp(k->bytes, p, n) == 0;
  memcpy(&a, k->bytes, sizeof a);
  memcpy(&b, p, sizeof b);
  return (a ^ b) << (64 - 8 * n) == 0;
}

/* A key of 1 to 31 bytes: to make a string of it is the work that a repeated key spares. */
static void push_key(struct decoder *d, size_t n) {
  const unsigned char *p = take(d, n);
  unsigned i = (p[0] + 5u * p[n - 1] + (unsigned)n) % KEYS;
  struct key *k = &d->keys[i];
  if (is_same(d, k, p, n)) {
    lua_pushvalue(d->L, d->keys_index + (int)i);
  } else {
    lua_pushlstring(d->L, (const char *)p, n);
    lua_copy(d->L, -1, d->keys_index + (int)i);
    k->bytes = p;
    k->size = n;
  }
}

static int step_map(struct decoder *d, struct open *o) {
  lua_State *L = d->L;
  int slot = o->slot;
  while (o->left > 0) {
    if ((o->left & 1) == 0) {
      unsigned c = d->at < d->end ? *d->at : WIRE_NIL;
      if (c > WIRE_FIXSTR && c < WIRE_NIL && d->keys_index) {
        d->at++;
        push_key(d, c & 0x1f);
      } else {
        if (!mp_decode_value(d)) return 0;
        if (c >= WIRE_NIL) check_key(d);
      }
      o->left--;
    }
    if (!mp_decode_usual(d) && !mp_decode_value(d)) return 0;
    lua_rawset(L, slot);
    o->left--;
  }
  return 1;
}

static int step_list(struct decoder *d, struct open *o) {
  while (o->left > 0) {
    if (!mp_decode_value(d)) return 0;
    o->left--;
  }
  return 1;
}

static int decode_step(struct decoder *d, struct open *o) {
  switch (o->kind) {
    case OPEN_ARRAY: return mp_decode_step_array(d, o);
    case OPEN_RUN: return mp_decode_step_run(d, o);
    case OPEN_MAP: return step_map(d, o);
    case OPEN_UPVALUES: return mp_decode_step_upvalues(d, o);
    default: return step_list(d, o);
  }
}

/* The part on top is complete: it goes into the container that waits for it. */
static void attach(struct decoder *d) {
  struct open *o = &d->open[d->depth - 1];
  d->promised -= o->left - 1;
  switch (o->kind) {
    case OPEN_ARRAY: lua_rawseti(d->L, o->slot, (lua_Integer)++o->i); break;
    case OPEN_MAP:
      if (o->left & 1) lua_rawset(d->L, o->slot);
      else check_key(d);
      break;
    case OPEN_UPVALUES: lua_setupvalue(d->L, o->slot, (int)o->i); return;
    default: break;
  }
  o->left--;
}

/* All parts of the innermost container are there. */
static void complete(struct decoder *d, struct open *o) {
  if (o->end && d->at != o->end)
    mp_decode_fail(d, d->at, "an extension's contents do not fill it");
  if (o->metatable) {
    lua_insert(d->L, -2);
    lua_setmetatable(d->L, -2);
  }
  if (o->kind == OPEN_PACKED) mp_decode_unpack(d, o);
  if (--d->depth > 0) attach(d);
}

static void decode_walk(struct decoder *d) {
  while (d->depth > 0) {
    struct open *o = &d->open[d->depth - 1];
    if (decode_step(d, o)) complete(d, o);
  }
}

const char *mp_decode_text(struct decoder *d, const unsigned char *end, size_t *n) {
  const unsigned char *start = take(d, 1);
  unsigned c = *start;
  if (c >= WIRE_FIXSTR && c < WIRE_NIL) *n = c & 0x1f;
  else if (c == WIRE_STR8 || c == WIRE_BIN8) *n = *take(d, 1);
  else if (c == WIRE_STR16 || c == WIRE_BIN16) *n = load16(take(d, 2));
  else if (c == WIRE_STR32 || c == WIRE_BIN32) *n = load32(take(d, 4));
  else mp_decode_fail(d, start, "a string is missing");
  start = take(d, *n);
  if (d->at > end) mp_decode_fail(d, start, "a string leaves its extension");
  return (const char *)start;
}

size_t mp_decode_count(struct decoder *d, const unsigned char *end) {
  const unsigned char *start = take(d, 1);
  size_t n = *start;
  if (n == WIRE_UINT8) n = *take(d, 1);
  else if (n == WIRE_UINT16) n = load16(take(d, 2));
  else if (n == WIRE_UINT32) n = load32(take(d, 4));
  else if (n >= WIRE_FIXMAP) mp_decode_fail(d, start, "a count is missing");
  if (d->at > end) mp_decode_fail(d, start, "a count leaves its extension");
  return n;
}

/* The root of a message of several values: they stay on the stack. */
static int decode_list(struct decoder *d) {
  const unsigned char *start = d->at;
  size_t n;
  int base;
  if (table_head(d, &n) != OPEN_ARRAY) mp_decode_fail(d, start, "a list of values is missing");
  if (n > bytes_left(d) || n > INT_MAX / 2)
    mp_decode_fail(d, start, "%zu values are promised, and the message ends before", n);
  base = lua_gettop(d->L);
  more_stack(d, (int)n + DECODE_ROOM);
  mp_decode_open(d, OPEN_LIST, base + 1, n);
  decode_walk(d);
  return (int)n;
}

void mp_decode_whole(struct decoder *d) {
  if (!mp_decode_value(d)) decode_walk(d);
}

static void decoder_open(struct decoder *d, lua_State *L, const void *bytes, size_t size,
                         unsigned mode) {
  int slots = DECODE_SLOTS + (size < KEYS_MIN_SIZE ? 0 : (int)KEYS);
  luaL_checkstack(L, DECODE_ROOM + slots, NULL);
  d->L = L;
  d->at = d->origin = d->body = bytes;
  d->end = d->at + size;
  d->next = d->marks = NULL;
  d->mark_count = d->promised = 0;
  d->mode = mode;
  d->depth = 0;
  d->room = OPEN_INLINE;
  d->open = d->inline_open;
  d->cells = 0;
  d->base = lua_gettop(L) + 1;
  d->ceiling = d->base + slots + DECODE_ROOM - 1;
  lua_settop(L, d->base + slots - 1);
  d->keys_index = size < KEYS_MIN_SIZE ? 0 : d->base + DECODE_SLOTS;
  if (d->keys_index) memset(d->keys, 0, sizeof d->keys);
  if (size > UINT32_MAX) mp_decode_fail(d, d->at, "the message is larger than 4 GiB");
}

int mp_codec_decode(lua_State *L, const void *bytes, size_t size, unsigned mode) {
  struct decoder d;
  int n = 1, envelope;
  decoder_open(&d, L, bytes, size, mode);
  envelope = mp_decode_envelope(&d);
  if (mode & MP_CODEC_VALUES) n = decode_list(&d);
  else mp_decode_whole(&d);
  mp_decode_extras(&d);
  if (envelope && d.next) mp_decode_fail(&d, d.next, "no object begins here");
  if (d.at != d.end) mp_decode_fail(&d, d.at, "the message goes on after its value");
  if (n == 1) lua_copy(L, -1, d.base);
  else lua_rotate(L, d.base, n);
  lua_settop(L, d.base + n - 1);
  return n;
}

int mp_codec_lua_decode(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  if (lua_gettop(L) > 1) lua_settop(L, 1);
  return mp_codec_decode(L, s, n, MP_CODEC_DATA);
}
