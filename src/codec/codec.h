/*
** Lua values <-> bytes.
**
** One call turns values into a message, another turns a message into values. A message of plain
** data is one MessagePack value that any language can read; what Lua has beyond that travels as
** extension types, listed in wire.h and in docs/internals.md ("The wire").
**
** Nothing here allocates outside Lua: buffers are userdata, reused from call to call, so an error
** that passes through leaves nothing behind. Encoding and decoding may call Lua (the pack and
** unpack functions of registered types, `require` for what travels by name) and may raise: hold no
** shared lock across these calls.
*/
#ifndef MP_CODEC_H
#define MP_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include <lua.h>

/* Version of the wire; two builds that disagree must not exchange messages. */
#define MP_CODEC_VERSION 1

/* What a message may hold. Zero is plain data, safe to decode from any source. */
enum mp_codec_mode {
  MP_CODEC_DATA = 0,
  MP_CODEC_CODE = 1,    /* functions, modules by name; when decoding: the bytes are trusted */
  MP_CODEC_OBJECTS = 2, /* shared objects, through the ticket hooks */
  MP_CODEC_VALUES = 4,  /* the message is a list of values, not one value */
  MP_CODEC_CARRY = 8,   /* encoding: globals and classes that a function uses go along */
  MP_CODEC_TAIL = 16    /* encoding: a long string may stay where it is, see mp_codec_view.tail */
};
#define MP_CODEC_FULL (MP_CODEC_CODE | MP_CODEC_OBJECTS)

/*
** What the layer above supplies; any member may be NULL.
** ticket  the value at `index` is a userdata. 1: it is a shared object, `out` names it;
**         0: not one of ours; -1: it may not travel, the reason (a string) was pushed.
** redeem  pushes the object that a ticket names, or raises.
** raise   raises an error of that kind; the message is on top of the stack. Must not return.
**         Without it a table {kind =, message =} is raised.
*/
struct mp_codec_hooks {
  int (*ticket)(lua_State *L, int index, uint64_t out[2]);
  void (*redeem)(lua_State *L, const uint64_t ticket[2]);
  void (*raise)(lua_State *L, const char *kind);
};

/*
** An encoded message: `bytes`, followed by `tail` (only with MP_CODEC_TAIL; else tail_size is 0).
** `tickets` are the offsets in `bytes` of the 16-byte tickets (two words, native byte order) of the
** shared objects it holds, one for each time an object is named. It may be sent more than once.
*/
struct mp_codec_view {
  const unsigned char *bytes;
  size_t size;
  const unsigned char *tail;
  size_t tail_size;
  const uint32_t *tickets;
  size_t ticket_count;
  void *owner; /* private */
};

/* Prepares this Lua state; call once per state (again: replaces the hooks). Copies *hooks. */
void mp_codec_init(lua_State *L, const struct mp_codec_hooks *hooks);
int mp_codec_is_ready(lua_State *L); /* was that done? */

/*
** What to encode: the `count` values from stack index `first` on (one value, unless
** MP_CODEC_VALUES). `root` is what error messages call them ("args").
*/
struct mp_codec_request {
  int first;
  int count;
  unsigned mode;
  const char *root;
};

/*
** Encodes. Pushes one value, which keeps the view alive; the view is good until mp_codec_release
** or until that value is popped. The encoded values must stay where they are for as long.
** Raises SerializationError with the path to what cannot be sent.
*/
void mp_codec_encode(lua_State *L, const struct mp_codec_request *what, struct mp_codec_view *out);

/*
** The same with MP_CODEC_CARRY, and with what the receiver has: at stack index `present` a table
** whose keys are the names of globals (say, those of when it was forked) that need not go along.
*/
void mp_codec_encode_carry(lua_State *L, const struct mp_codec_request *what, int present,
                           struct mp_codec_view *out);

/*
** The elements range[0] to range[1] of the list at what->first, as one array: what encoding a list
** of just these would give, but errors name each by its place in the whole list. `present` as
** above, or 0: nothing goes along.
*/
void mp_codec_encode_slice(lua_State *L, const struct mp_codec_request *what,
                           const lua_Integer range[2], int present, struct mp_codec_view *out);

/* The view's buffer may be reused. After an error in between it need not be called. */
void mp_codec_release(struct mp_codec_view *view);

/*
** Decodes a message, pushes its value (with MP_CODEC_VALUES: its values), returns their number.
** The bytes must stay in place meanwhile. Raises SerializationError with the position.
*/
int mp_codec_decode(lua_State *L, const void *bytes, size_t size, unsigned mode);

/* Functions for Lua. register_class(name, class [, {pack =, unpack =}]) */
int mp_codec_register_class(lua_State *L);
/* register_userdata(metatable_name, {pack =, unpack =}) */
int mp_codec_register_userdata(lua_State *L);
/* encode(v) -> string, decode(s) -> v: plain data only */
int mp_codec_lua_encode(lua_State *L);
int mp_codec_lua_decode(lua_State *L);

#endif
