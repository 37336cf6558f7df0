/*
** Values to bytes: the walk.
**
** One loop, no recursion: containers that are open stand in an array of frames, so the depth of a
** value is limited by memory and Lua's stack, never by C's. Leaves (containers that hold scalars
** only) are written where they are met and need no frame.
**
** Bytes are written once, into a buffer that leaves ENVELOPE_PREFIX bytes free in front: only when
** the message turns out to hold an object twice is it made an envelope, whose last part lists the
** offsets of such objects. So an object that occurs once costs nothing on the wire.
**
** An encoder is on the C stack, its arrays are the codec_state's. Every growth and every call of a
** pack function may raise; nothing needs cleaning up then (see state.c).
*/
#include "encode.h"
#include "globals.h"

#include <lauxlib.h>

/* A long string at the root is not copied under MP_CODEC_TAIL. */
#define TAIL_MIN ((size_t)1 << 15)
/* Stack slots that are asked for at once: enough for most messages. */
#define OPEN_ROOM (3 * STEP_ROOM)
/* Longer strings are not looked at, and go as bin. */
#define TEXT_MAX ((size_t)1 << 16)

void mp_encode_more(struct encoder *e, size_t n) {
  size_t used = (size_t)(e->at - e->body) + ENVELOPE_PREFIX;
  struct codec_scratch *c = &e->state->scratch[SCRATCH_BYTES];
  unsigned char *memory;
  if (used + n > WIRE_MAX_SIZE) {
    lua_pushliteral(e->L, "the message is larger than 4 GiB");
    mp_codec_raise(e->L, "SerializationError");
  }
  memory = mp_codec_grow(e->L, e->state_index, SCRATCH_BYTES, used, used + n);
  e->body = memory + ENVELOPE_PREFIX;
  e->at = memory + used;
  e->end = memory + c->size;
}

void mp_encode_room(struct encoder *e) {
  if (!lua_checkstack(e->L, STEP_ROOM)) mp_encode_refuse(e, "nested too deeply");
  e->ceiling = lua_gettop(e->L) + STEP_ROOM;
}

static void string_head(struct encoder *e, size_t n, int text) {
  if (text && n < 32) *e->at++ = (unsigned char)(WIRE_FIXSTR | n);
  else if (n < 0x100)
    *e->at++ = text ? WIRE_STR8 : WIRE_BIN8, *e->at++ = (unsigned char)n;
  else if (n < 0x10000) put_head16(e, text ? WIRE_STR16 : WIRE_BIN16, (uint32_t)n);
  else put_head32(e, text ? WIRE_STR32 : WIRE_BIN32, (uint32_t)n);
}

/* Copies up to 16 bytes; whether all are ASCII. Most keys are that short, and this is half the cost
** of looking at them and calling memcpy. */
static int copy_short(unsigned char *to, const char *from, size_t n) {
  uint64_t a = 0, b = 0;
  if (n >= 8) {
    memcpy(&a, from, 8);
    memcpy(&b, from + n - 8, 8);
    memcpy(to, &a, 8);
    memcpy(to + n - 8, &b, 8);
  } else if (n >= 4) {
    uint32_t c, d;
    memcpy(&c, from, 4);
    memcpy(&d, from + n - 4, 4);
    memcpy(to, &c, 4);
    memcpy(to + n - 4, &d, 4);
    a = c | d;
  } else {
    size_t i;
    for (i = 0; i < n; i++) {
      to[i] = (unsigned char)from[i];
      a |= to[i];
    }
  }
  return ((a | b) & 0x8080808080808080u) == 0;
}

void mp_encode_string(struct encoder *e, const char *s, size_t n) {
  if (n <= 16) {
    need(e, 32);
    if (copy_short(e->at + 1, s, n)) {
      *e->at = (unsigned char)(WIRE_FIXSTR | n);
      e->at += n + 1;
      return;
    }
  }
  if (n > WIRE_MAX_SIZE) mp_encode_more(e, n);
  need(e, n + 5);
  string_head(e, n, n <= TEXT_MAX && mp_text_valid((const unsigned char *)s, n));
  memcpy(e->at, s, n);
  e->at += n;
}

void mp_encode_array_head(struct encoder *e, size_t n) {
  need(e, 5);
  if (n < 16) *e->at++ = (unsigned char)(WIRE_FIXARRAY | n);
  else if (n < 0x10000) put_head16(e, WIRE_ARRAY16, (uint32_t)n);
  else put_head32(e, WIRE_ARRAY32, (uint32_t)n);
}

struct frame *mp_encode_frame(struct encoder *e, enum frame_kind kind, int slot, int top) {
  struct frame *f;
  if (e->depth == e->frame_room) {
    size_t used = e->depth * sizeof *e->frames;
    e->frames = mp_codec_grow(e->L, e->state_index, SCRATCH_FRAMES, used, used + 1);
    e->frame_room = (uint32_t)(e->state->scratch[SCRATCH_FRAMES].size / sizeof *e->frames);
  }
  f = &e->frames[e->depth++];
  f->kind = kind;
  f->slot = slot;
  f->top = top;
  f->i = f->n = 0;
  f->extension = NOWHERE;
  return f;
}

int mp_encode_container(struct encoder *e, int slot, int type) {
  if (lua_gettop(e->L) + STEP_ROOM > e->ceiling) mp_encode_room(e);
  switch (type) {
    case LUA_TTABLE: return mp_encode_table(e, slot);
    case LUA_TFUNCTION: return mp_encode_function(e, slot);
    case LUA_TUSERDATA: return mp_encode_userdata(e, slot);
    case LUA_TLIGHTUSERDATA: {
      int done = mp_encode_held(e, slot);
      if (done == 0) mp_encode_refuse(e, "a light userdata cannot be sent");
      return done > 0;
    }
    default: mp_encode_refuse(e, "a %s cannot be sent", lua_typename(e->L, type));
  }
}

void mp_encode_walk(struct encoder *e) {
  while (e->depth > 0 && !e->restart) {
    switch (e->frames[e->depth - 1].kind) {
      case FRAME_ARRAY: mp_encode_step_array(e); break;
      case FRAME_STREAM: mp_encode_step_stream(e); break;
      case FRAME_UPVALUES: mp_encode_step_upvalues(e); break;
      default: mp_encode_step_list(e); break;
    }
  }
}

static void encoder_open(struct encoder *e, lua_State *L, const struct mp_codec_request *what) {
  memset(e, 0, sizeof *e);
  luaL_checkstack(L, OPEN_ROOM, NULL);
  e->L = L;
  e->mode = what->mode;
  e->root = what->root;
  e->state = mp_codec_acquire(L);
  e->state_index = lua_gettop(L);
  mp_codec_trim(L, e->state, e->state_index);
  lua_settop(L, e->state_index + FIXED_SLOTS - 1);
  e->ceiling = e->state_index + OPEN_ROOM - 1;
  e->frames = e->state->scratch[SCRATCH_FRAMES].memory;
  e->frame_room = (uint32_t)(e->state->scratch[SCRATCH_FRAMES].size / sizeof *e->frames);
  e->entries = e->state->scratch[SCRATCH_ENTRIES].memory;
  e->entry_room = (uint32_t)(e->state->scratch[SCRATCH_ENTRIES].size / sizeof *e->entries);
  if (e->state->scratch[SCRATCH_BYTES].size == 0)
    mp_codec_grow(L, e->state_index, SCRATCH_BYTES, 0, ENVELOPE_PREFIX + 1);
}

/* The start of a message; also after a restart, which keeps only what is known of names. */
static void encoder_begin(struct encoder *e) {
  struct codec_scratch *c = &e->state->scratch[SCRATCH_BYTES];
  if (e->restart) {
    lua_settop(e->L, KNOWN_INDEX(e));
    lua_settop(e->L, e->state_index + FIXED_SLOTS - 1);
  }
  e->body = e->at = (unsigned char *)c->memory + ENVELOPE_PREFIX;
  e->end = (unsigned char *)c->memory + c->size;
  e->depth = e->entry_count = e->slot_mask = 0;
  e->shared = e->cells = e->ticket_count = 0;
  e->globals = e->classes = 0;
  e->restart = e->extras = 0;
}

static void encode_root(struct encoder *e, int first, int count) {
  struct frame *f;
  if (!(e->mode & MP_CODEC_VALUES)) {
    int type = lua_type(e->L, first);
    if (put_scalar(e, first, type) || mp_encode_container(e, first, type)) return;
  } else {
    mp_encode_array_head(e, (size_t)count);
    f = mp_encode_frame(e, FRAME_ROOT, first, e->state_index + FIXED_SLOTS - 1);
    f->n = (uint32_t)count;
  }
  mp_encode_walk(e);
}

static void encode_values(struct encoder *e, int first, int count) {
  do {
    encoder_begin(e);
    encode_root(e, first, count);
    if (!e->restart) mp_encode_extras(e);
  } while (e->restart);
}

/* Makes the message an envelope: prefix in front, the offsets of shared objects at the end. */
static void envelope_close(struct encoder *e) {
  unsigned char *prefix;
  uint32_t i;
  need(e, (size_t)e->shared * 4);
  for (i = 0; i < e->entry_count; i++) {
    if (e->entries[i].state != ENTRY_SHARED) continue;
    store32(e->at, e->entries[i].offset);
    e->at += 4;
  }
  prefix = e->body - ENVELOPE_PREFIX;
  prefix[0] = WIRE_EXT32;
  store32(prefix + 1, here(e) + 4);
  prefix[5] = EXT_ENVELOPE;
  store32(prefix + 6, e->shared);
}

static void view_fill(struct encoder *e, struct mp_codec_view *out) {
  uint32_t *tickets = e->state->scratch[SCRATCH_TICKETS].memory;
  uint32_t prefix = 0, i;
  if (e->shared > 0 || e->extras) {
    envelope_close(e);
    prefix = ENVELOPE_PREFIX;
    for (i = 0; i < e->ticket_count; i++) tickets[i] += prefix;
  }
  out->bytes = e->body - prefix;
  out->size = (size_t)here(e) + prefix;
  out->tail = NULL;
  out->tail_size = 0;
  out->tickets = tickets;
  out->ticket_count = e->ticket_count;
  out->owner = e->state;
  e->state->used = out->size;
}

/* A long string alone: only its head is written. */
static void encode_tail(struct encoder *e, int slot, struct mp_codec_view *out) {
  size_t n;
  const char *s = lua_tolstring(e->L, slot, &n);
  encoder_begin(e);
  need(e, 5);
  string_head(e, n, n <= TEXT_MAX && mp_text_valid((const unsigned char *)s, n));
  view_fill(e, out);
  out->tail = (const unsigned char *)s;
  out->tail_size = n;
}

static int is_tail(lua_State *L, int slot, unsigned mode) {
  return (mode & MP_CODEC_TAIL) && !(mode & MP_CODEC_VALUES) && lua_type(L, slot) == LUA_TSTRING &&
         lua_rawlen(L, slot) >= TAIL_MIN && lua_rawlen(L, slot) <= WIRE_MAX_SIZE;
}

static void encode_request(struct encoder *e, int first, int count, struct mp_codec_view *out) {
  if (is_tail(e->L, first, e->mode)) {
    encode_tail(e, first, out);
  } else {
    encode_values(e, first, count);
    view_fill(e, out);
  }
  lua_settop(e->L, e->state_index);
}

void mp_codec_encode(lua_State *L, const struct mp_codec_request *what,
                     struct mp_codec_view *out) {
  struct encoder e;
  int first = lua_absindex(L, what->first);
  encoder_open(&e, L, what);
  encode_request(&e, first, what->count, out);
}

void mp_codec_encode_carry(lua_State *L, const struct mp_codec_request *what, int present,
                           struct mp_codec_view *out) {
  struct encoder e;
  int first = lua_absindex(L, what->first);
  present = lua_absindex(L, present);
  encoder_open(&e, L, what);
  e.mode |= MP_CODEC_CARRY;
  e.present = present;
  encode_request(&e, first, what->count, out);
}

void mp_codec_encode_slice(lua_State *L, const struct mp_codec_request *what,
                           const lua_Integer range[2], int present, struct mp_codec_view *out) {
  struct encoder e;
  int list = lua_absindex(L, what->first);
  if (present != 0) present = lua_absindex(L, present);
  encoder_open(&e, L, what);
  if (present != 0) e.mode |= MP_CODEC_CARRY;
  e.present = present;
  do {
    struct frame *f;
    encoder_begin(&e);
    mp_encode_array_head(&e, (size_t)(range[1] - range[0] + 1));
    f = mp_encode_frame(&e, FRAME_ARRAY, list, e.state_index + FIXED_SLOTS - 1);
    f->i = (uint32_t)(range[0] - 1);
    f->n = (uint32_t)range[1];
    mp_encode_walk(&e);
    if (!e.restart) mp_encode_extras(&e);
  } while (e.restart);
  view_fill(&e, out);
  lua_settop(L, e.state_index);
}

int mp_codec_lua_encode(lua_State *L) {
  static const struct mp_codec_request what = {1, 1, MP_CODEC_DATA, "value"};
  struct mp_codec_view view;
  if (lua_gettop(L) != 1) {
    luaL_checkany(L, 1);
    lua_settop(L, 1);
  }
  mp_codec_encode(L, &what, &view);
  lua_pushlstring(L, (const char *)view.bytes, view.size);
  mp_codec_release(&view);
  return 1;
}
