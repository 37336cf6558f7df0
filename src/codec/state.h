/*
** What the codec keeps in a Lua state: the hooks, the tables of registered types, and scratch
** memory that is reused from message to message.
*/
#ifndef MP_CODEC_STATE_H
#define MP_CODEC_STATE_H

#include "codec.h"

/* Tables in the codec's home table, by index. */
enum codec_table {
  CODEC_CLASSES = 1, /* metatable -> description of a class */
  CODEC_NAMES,       /* class name -> the same description */
  CODEC_FOREIGN,     /* metatable name -> description of a userdata type */
  CODEC_KNOWN,       /* object -> "module", "module\0field" or "\0type\0method" */
  CODEC_HELD,        /* the same for fields that are used only where all else would be refused */
  CODEC_TABLES = CODEC_HELD,
  CODEC_MAKER /* no table: the Lua function that makes one of its arguments */
};

/* A description: {name, pack, unpack, class}. */
enum codec_field { TYPE_NAME = 1, TYPE_PACK, TYPE_UNPACK, TYPE_CLASS };

enum codec_scratch_kind {
  SCRATCH_BYTES = 1, /* the message */
  SCRATCH_FRAMES,    /* containers that are open */
  SCRATCH_ENTRIES,   /* objects met so far */
  SCRATCH_SLOTS,     /* hash of these */
  SCRATCH_TICKETS,   /* offsets of tickets */
  SCRATCH_KINDS = SCRATCH_TICKETS
};

struct codec_scratch {
  void *memory; /* of a userdata, held as the state's user value of the same number */
  size_t size;
};

/* Where a function is defined. */
struct codec_place {
  const void *source; /* an address that stands for the chunk */
  int line;
};
#define CODEC_PLACES 64 /* a power of two */

/* A userdata. One is current (in the registry); one that is busy is never touched by others. */
struct codec_state {
  struct codec_scratch scratch[SCRATCH_KINDS + 1];
  struct mp_codec_hooks hooks;
  struct codec_place nameless[CODEC_PLACES]; /* functions from there were in no module: a hint */
  int busy;    /* a message is being made or its view is in use */
  int small;   /* messages in a row that left most of a large buffer unused */
  size_t used; /* bytes of the last message */
};

/* Pushes a state that is free and makes it busy. */
struct codec_state *mp_codec_acquire(lua_State *L);

/* The hooks; NULL before mp_codec_init. */
const struct mp_codec_hooks *mp_codec_hooks_of(lua_State *L);

/* Makes scratch memory at least `size` bytes large; its first `keep` bytes survive. `index` is the
** state's place on the stack. */
void *mp_codec_grow(lua_State *L, int index, enum codec_scratch_kind kind, size_t keep,
                    size_t size);

/* Between messages: drops a large buffer that has not been needed for long. `index` is the state's
** place on the stack. */
void mp_codec_trim(lua_State *L, struct codec_state *s, int index);

/* Pushes one of the home table's tables. */
void mp_codec_table(lua_State *L, enum codec_table which);

/* Raises an error of that kind; its message is on top of the stack. */
__attribute__((noreturn)) void mp_codec_raise(lua_State *L, const char *kind);

#endif
