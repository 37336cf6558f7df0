/*
** What the files of the encoder share: the message in the making, the containers that are open,
** and the writing of bytes.
*/
#ifndef MP_CODEC_ENCODE_H
#define MP_CODEC_ENCODE_H

#include <setjmp.h>

#include <lua.h>

#include "scalar.h"
#include "state.h"
#include "wire.h"

enum frame_kind {
  FRAME_ROOT,    /* the values that were asked for */
  FRAME_ARRAY,   /* a proper sequence */
  FRAME_PAIRS,   /* a small map, its keys and values gathered on the stack */
  FRAME_STREAM,  /* any map, its current key on the stack */
  FRAME_PACKED,  /* what a pack function returned */
  FRAME_UPVALUES /* of a function */
};

#define NOWHERE UINT32_MAX

/* A container that was begun. `i` counts what was written or begun of its `n` parts. */
struct frame {
  enum frame_kind kind;
  int slot;           /* stack index of the container; of the first value for ROOT, PAIRS, PACKED */
  int top;            /* stack top to go back to */
  uint32_t i, n;
  uint32_t extension; /* offset of an ext32 header to complete at the end, or NOWHERE */
  uint32_t count_at;  /* STREAM: offset of the number of pairs */
  uint32_t entry;     /* PACKED: the object's entry */
};

enum entry_state {
  ENTRY_ONCE,    /* met once */
  ENTRY_SHARED,  /* met again: its offset goes into the envelope */
  ENTRY_PACKING, /* inside its pack function's results: cannot be referred to */
  ENTRY_CELL     /* an upvalue; `offset` is its number */
};

struct entry {
  const void *pointer;
  uint32_t offset;
  enum entry_state state;
};

struct encoder {
  unsigned char *at, *end; /* where to write, and the buffer's end */
  unsigned char *body;     /* first byte of the message, ENVELOPE_PREFIX left free before it */
  lua_State *L;
  int state_index; /* of the codec_state; then come the slots below */
  int ceiling;     /* stack slots that are known to be there */
  unsigned mode;
  int names;   /* the table of names is ready: look every table up */
  int restart; /* objects were written without names: begin again */
  int scanned; /* all modules were looked through for this message */
  struct frame *frames;
  uint32_t depth, frame_room;
  struct entry *entries;
  uint32_t entry_count, entry_room;
  uint32_t *slots; /* index + 1 into entries, or 0 */
  uint32_t slot_mask;
  uint32_t shared; /* entries in state SHARED */
  uint32_t cells;
  uint32_t ticket_count;
  lua_Integer globals, classes; /* that were noted to go along */
  int extras;                   /* they follow the body */
  int present;                  /* stack index: names of globals that need not go along; or 0 */
  jmp_buf *escape;              /* where refusals go that are no errors; or NULL */
  struct codec_state *state;
  const char *root;
};

#define KNOWN_INDEX(e) ((e)->state_index + 1)
#define ANCHORS_INDEX(e) ((e)->state_index + 2)
#define GLOBALS_INDEX(e) ((e)->state_index + 3)
#define CARRIED_INDEX(e) ((e)->state_index + 4)
#define FIXED_SLOTS 5

/* Stack slots that any step may use above the top. */
#define STEP_ROOM 48

/* encode.c: all return 1 when the value is complete, 0 when a frame was opened (or restart). */
int mp_encode_container(struct encoder *e, int slot, int type);
struct frame *mp_encode_frame(struct encoder *e, enum frame_kind kind, int slot, int top);
void mp_encode_more(struct encoder *e, size_t n);
void mp_encode_room(struct encoder *e);
void mp_encode_walk(struct encoder *e);

/* table.c */
int mp_encode_table(struct encoder *e, int slot);
int mp_encode_plain(struct encoder *e, int slot);
/* Whether the object was met before (then the reference was written). */
int mp_encode_seen(struct encoder *e, int slot);
void mp_encode_step_array(struct encoder *e);
void mp_encode_step_list(struct encoder *e);
void mp_encode_step_stream(struct encoder *e);

/* function.c */
int mp_encode_function(struct encoder *e, int slot);
void mp_encode_step_upvalues(struct encoder *e);
/* Whether the upvalue of that name, its value on top, is what the receiver's _G replaces. */
int mp_encode_is_environment(lua_State *L, const char *upvalue);

/* share.c */
int mp_encode_instance(struct encoder *e, int slot);
int mp_encode_userdata(struct encoder *e, int slot);
/* Whether the table is itself a registered class (then it was written). */
int mp_encode_class(struct encoder *e, int slot);
/* Keeps n values from stack index `first` on alive until the message is done. */
void mp_encode_anchor(struct encoder *e, int first, int n);

/* name.c: whether the value travels by name (then it was written); -1: restart */
int mp_encode_named(struct encoder *e, int slot);
int mp_encode_held(struct encoder *e, int slot);
int mp_encode_names_begin(struct encoder *e);

/* graph.c: the entry of a pointer, made if it is new (*fresh says so) */
struct entry *mp_graph_entry(struct encoder *e, const void *pointer, int *fresh);
/* Forgets all but the first n. */
void mp_graph_truncate(struct encoder *e, uint32_t n);

/* refuse.c: raise with the path; the message is a format for the container at hand */
__attribute__((noreturn)) void mp_encode_refuse(struct encoder *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* text.c */
int mp_text_valid(const unsigned char *s, size_t n);

static inline void need(struct encoder *e, size_t n) {
  if ((size_t)(e->end - e->at) < n) mp_encode_more(e, n);
}

static inline uint32_t here(const struct encoder *e) { return (uint32_t)(e->at - e->body); }

static inline void put_byte(struct encoder *e, unsigned byte) {
  need(e, 1);
  *e->at++ = (unsigned char)byte;
}

static inline void put_head16(struct encoder *e, unsigned byte, uint32_t v) {
  *e->at = (unsigned char)byte;
  store16(e->at + 1, v);
  e->at += 3;
}

static inline void put_head32(struct encoder *e, unsigned byte, uint32_t v) {
  *e->at = (unsigned char)byte;
  store32(e->at + 1, v);
  e->at += 5;
}

void mp_encode_string(struct encoder *e, const char *s, size_t n);
void mp_encode_array_head(struct encoder *e, size_t n);

/* An ext32 header whose length is filled in by extension_end. */
static inline uint32_t extension_begin(struct encoder *e, enum wire_ext type) {
  uint32_t start = here(e);
  need(e, 6);
  put_head32(e, WIRE_EXT32, 0);
  *e->at++ = (unsigned char)type;
  return start;
}

static inline void extension_end(struct encoder *e, uint32_t start) {
  store32(e->body + start + 1, here(e) - start - 6);
}

static inline void put_integer(struct encoder *e, lua_Integer v) {
  need(e, 9);
  e->at += mp_codec_scalar_integer(v, e->at);
}

static inline void put_float(struct encoder *e, lua_Number v) {
  need(e, 9);
  e->at += mp_codec_scalar_float(v, e->at);
}

static inline void put_text(struct encoder *e, int slot) {
  size_t n;
  const char *s = lua_tolstring(e->L, slot, &n);
  mp_encode_string(e, s, n);
}

/* Writes the value at `slot` if it is a scalar. All that most messages are made of passes here. */
__attribute__((always_inline)) static inline int put_scalar(struct encoder *e, int slot, int type) {
  switch (type) {
    case LUA_TNUMBER:
      if (lua_isinteger(e->L, slot)) put_integer(e, lua_tointegerx(e->L, slot, NULL));
      else put_float(e, lua_tonumberx(e->L, slot, NULL));
      return 1;
    case LUA_TSTRING: put_text(e, slot); return 1;
    case LUA_TBOOLEAN: put_byte(e, lua_toboolean(e->L, slot) ? WIRE_TRUE : WIRE_FALSE); return 1;
    case LUA_TNIL: put_byte(e, WIRE_NIL); return 1;
    default: return 0;
  }
}

#endif
