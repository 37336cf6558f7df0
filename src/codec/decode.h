/*
** What the files of the decoder share.
*/
#ifndef MP_CODEC_DECODE_H
#define MP_CODEC_DECODE_H

#include <lua.h>

#include "state.h"
#include "wire.h"

enum open_kind {
  OPEN_LIST,     /* values stay on the stack: the root, a packed object's values */
  OPEN_ARRAY,
  OPEN_RUN,      /* an array whose elements so far are scalars, above its maker on the stack */
  OPEN_MAP,
  OPEN_PACKED,   /* a list that ends with a call of unpack, below it on the stack */
  OPEN_UPVALUES
};

/* A container that is being read. `left` parts are still to come (a map's count twice). */
struct open {
  const unsigned char *end; /* of the extension it must fill exactly, or NULL */
  const unsigned char *mark; /* its first byte, if it is referred to and not yet noted; or NULL */
  enum open_kind kind;
  int slot;                 /* stack index of the container */
  int metatable;            /* an instance: its metatable is just below it on the stack */
  uint32_t i, left;
};

#define OPEN_INLINE 16

/* Keys that were met lately in this message: their strings stand on the stack. */
#define KEYS 32u
#define KEYS_MIN_SIZE 256u /* of a message in which keys are likely to come again */

struct key {
  const unsigned char *bytes; /* in the message */
  size_t size;
};

struct decoder {
  const unsigned char *at, *end;
  const unsigned char *origin; /* of the message: errors count from here */
  const unsigned char *body;   /* offsets count from here */
  const unsigned char *next;   /* the next byte at which a shared object begins, or NULL */
  const unsigned char *marks;  /* big-endian offsets still to come */
  size_t mark_count;
  size_t promised; /* parts that suspended containers still need: at least a byte each */
  lua_State *L;
  int base; /* stack index of REFS; then the slots below */
  int ceiling;
  unsigned mode;
  uint32_t depth, room;
  lua_Integer cells;
  int keys_index; /* stack index of the first, or 0: they are not kept */
  struct key keys[KEYS];
  struct open *open;
  struct open inline_open[OPEN_INLINE];
};

#define REFS_INDEX(d) ((d)->base)
#define CELLS_INDEX(d) ((d)->base + 1)
#define MEMORY_INDEX(d) ((d)->base + 2)
#define WAITING_INDEX(d) ((d)->base + 3)
#define MAKER_INDEX(d) ((d)->base + 4)
#define DECODE_SLOTS 5
#define DECODE_ROOM 24

/* decode.c. Values: 1 the value is on top, 0 a container was opened. */
int mp_decode_value(struct decoder *d);
struct open *mp_decode_open(struct decoder *d, enum open_kind kind, int slot, size_t parts);
/* The table that must come next; its object began at `start`, an instance must fill up to `end`
** and has its metatable on top. */
int mp_decode_table(struct decoder *d, const unsigned char *start, const unsigned char *end);
/* Heads that an extension's contents start with; they may not reach beyond `end`. */
const char *mp_decode_text(struct decoder *d, const unsigned char *end, size_t *n);
size_t mp_decode_count(struct decoder *d, const unsigned char *end);
__attribute__((noreturn)) void mp_decode_fail(struct decoder *d, const unsigned char *where,
                                              const char *format, ...);

/* Whether a shared object begins at `start`; the one who is told so notes it when it is there. */
static inline int mp_decode_marked(struct decoder *d, const unsigned char *start) {
  if (start != d->next) return 0;
  d->next = NULL;
  if (d->mark_count > 0) {
    d->next = d->body + load32(d->marks);
    d->marks += 4;
    d->mark_count--;
  }
  return 1;
}

/* The object on top is the one that began at `start`. */
static inline void mp_decode_note(struct decoder *d, const unsigned char *start) {
  lua_pushvalue(d->L, -1);
  lua_rawseti(d->L, REFS_INDEX(d), (lua_Integer)(start - d->body));
}

/* The short way for most numbers that are sent. Whether one was pushed. */
static inline int mp_decode_usual(struct decoder *d) {
  const unsigned char *p = d->at;
  if (d->end - p < 5) return 0;
  if (*p < WIRE_FIXMAP) lua_pushinteger(d->L, *p), d->at = p + 1;
  else if (*p == WIRE_UINT16) lua_pushinteger(d->L, (lua_Integer)load16(p + 1)), d->at = p + 3;
  else if (*p == WIRE_UINT32) lua_pushinteger(d->L, (lua_Integer)load32(p + 1)), d->at = p + 5;
  else return 0;
  return 1;
}

/* One value with all its parts; it is on top then. */
void mp_decode_whole(struct decoder *d);

/* array.c. An array of n elements begins that may be a run of scalars: whether its maker was pushed
** instead of a table. */
int mp_decode_run_begin(struct decoder *d, size_t n);
/* Elements up to the next one that is a container: 0; 1 when all are there. */
int mp_decode_step_array(struct decoder *d, struct open *o);
int mp_decode_step_run(struct decoder *d, struct open *o);

/* extras.c: after the body. */
void mp_decode_extras(struct decoder *d);
/* The name on top is of a class that is not here: replaces it by a table that the message has to
** define further on. */
void mp_decode_waiting_class(struct decoder *d, const unsigned char *where);

/* extension.c */
int mp_decode_extension(struct decoder *d, const unsigned char *start, size_t n, int type);
void mp_decode_unpack(struct decoder *d, struct open *o);
int mp_decode_envelope(struct decoder *d);

/* load.c */
int mp_decode_function(struct decoder *d, const unsigned char *start, const unsigned char *end);
/* Upvalues up to the next one that is a container: 0; 1 when all are there. */
int mp_decode_step_upvalues(struct decoder *d, struct open *o);

#endif
