/*
** Tables to bytes.
**
** A table is an array on the wire when its keys are exactly 1..n, else a map. Only a traversal
** proves it: lua_rawlen gives a border, and makes traversals slower in Lua 5.4. So the traversal
** writes scalars as it goes, and takes them back when it meets another key. From the first value
** that is itself a container on it only counts: what was taken back is then never more than
** scalars, whatever the nesting.
**
** A map's head needs the number of pairs. Small maps are gathered on the Lua stack, and scalars
** written on the way; larger ones get a map32 head whose count is filled in at the end.
**
** Pack functions may change tables while they are walked. Counts are therefore what was written,
** not what was promised: an array that shrinks is filled up with nil.
*/
#include "encode.h"

/* Pairs that fit MessagePack's one-byte map head; as many are gathered. */
#define GATHER 15
/* Deeper than this maps are streamed, to use fewer stack slots per level. */
#define DEEP 1000u
#define NOT_AN_ARRAY (-1)

static void frame_close(struct encoder *e, struct frame *f) {
  if (f->extension != NOWHERE) extension_end(e, f->extension);
  if (f->kind == FRAME_STREAM) store32(e->body + f->count_at, f->i);
  if (f->kind == FRAME_PACKED) e->entries[f->entry].state = ENTRY_ONCE;
  lua_settop(e->L, f->top);
  e->depth--;
}

/* Key and value of this many elements are left on the stack before they are taken off at once. */
#define BATCH 16

/* Whether the value at `index` is the integer i. */
static int is_integer(lua_State *L, int index, lua_Integer i) {
  return lua_isinteger(L, index) && lua_tointegerx(L, index, NULL) == i;
}

/* An array that is being walked. */
struct sequence {
  uint32_t start, head; /* offset and size of its head, which grows with what was written */
  lua_Integer n;        /* elements so far */
};

static void head_fit(struct encoder *e, struct sequence *s) {
  uint32_t size = s->n < 16 ? 1 : s->n < 0x10000 ? 3 : 5;
  unsigned char *elements;
  if (size == s->head) return;
  need(e, size - s->head);
  elements = e->body + s->start + s->head;
  memmove(elements + size - s->head, elements, (size_t)(e->at - elements));
  e->at += size - s->head;
  s->head = size;
}

/* Counts the elements behind the i-th; 0 when another key comes. */
static int count_sequence(lua_State *L, int slot, struct sequence *s, lua_Integer i) {
  int top = lua_gettop(L);
  do {
    if (i % BATCH == 0) lua_settop(L, top);
    lua_pushinteger(L, i);
    s->n = i;
  } while (lua_next(L, slot) && is_integer(L, -2, ++i) && i < UINT32_MAX);
  return s->n == i;
}

/* Writes elements, the first of which is on top with its key, up to the first that is no scalar;
** the others are counted. The number written, or NOT_AN_ARRAY. Leaves things on the stack: to push
** the key again is less work than to pop the value that lies on it. */
static lua_Integer write_sequence(struct encoder *e, int slot, struct sequence *s) {
  lua_State *L = e->L;
  int top = lua_gettop(L) - 2;
  lua_Integer i = 0;
  do {
    if (!is_integer(L, -2, ++i)) return NOT_AN_ARRAY;
    if (lua_isinteger(L, -1)) {
      put_integer(e, lua_tointegerx(L, -1, NULL));
    } else if (!put_scalar(e, -1, lua_type(L, -1))) {
      lua_settop(L, top);
      return count_sequence(L, slot, s, i) ? i - 1 : NOT_AN_ARRAY;
    }
    if (i % BATCH == 0) {
      lua_settop(L, top);
      s->n = i;
      head_fit(e, s);
    }
    lua_pushinteger(L, i);
  } while (lua_next(L, slot));
  s->n = i;
  return i;
}

/* The room for a head must be there before the elements are behind the place of writing. */
static void put_array_head(struct encoder *e, struct sequence *s) {
  size_t elements;
  head_fit(e, s);
  need(e, 5);
  elements = (size_t)(here(e) - s->start - s->head);
  e->at = e->body + s->start;
  mp_encode_array_head(e, (size_t)s->n);
  e->at += elements;
}

static int encode_array(struct encoder *e, int slot, int top) {
  struct sequence s = {here(e), 1, 0};
  lua_Integer i;
  put_byte(e, WIRE_FIXARRAY);
  i = write_sequence(e, slot, &s);
  lua_settop(e->L, top);
  if (i == NOT_AN_ARRAY) {
    e->at = e->body + s.start;
    return NOT_AN_ARRAY;
  }
  put_array_head(e, &s);
  if (i < s.n) {
    struct frame *f = mp_encode_frame(e, FRAME_ARRAY, slot, top);
    f->i = (uint32_t)i;
    f->n = (uint32_t)s.n;
  }
  return i == s.n;
}

void mp_encode_step_array(struct encoder *e) {
  struct frame *f = &e->frames[e->depth - 1];
  lua_State *L = e->L;
  int slot = f->slot, top = f->top;
  lua_settop(L, top);
  while (f->i < f->n) {
    int type = lua_rawgeti(L, slot, (lua_Integer)++f->i);
    if (!put_scalar(e, top + 1, type) && !mp_encode_container(e, top + 1, type)) return;
    lua_settop(L, top);
  }
  frame_close(e, f);
}

static int encode_stream(struct encoder *e, int slot, int top) {
  struct frame *f = mp_encode_frame(e, FRAME_STREAM, slot, top);
  lua_settop(e->L, top);
  need(e, 5);
  put_head32(e, WIRE_MAP32, 0);
  f->count_at = here(e) - 4;
  lua_pushnil(e->L);
  return 0;
}

/* A stream's n says whether the key of the pair at hand was written. */
void mp_encode_step_stream(struct encoder *e) {
  struct frame *f = &e->frames[e->depth - 1];
  lua_State *L = e->L;
  int key = f->top + 1, value = key + 1, type;
  for (;;) {
    if (f->n) {
      f->n = 0;
      type = lua_type(L, value);
      if (!put_scalar(e, value, type) && !mp_encode_container(e, value, type)) return;
    } else {
      lua_settop(L, key);
      if (!lua_next(L, f->slot)) break;
      f->i++;
      f->n = 1;
      type = lua_type(L, key);
      if (!put_scalar(e, key, type) && !mp_encode_container(e, key, type)) return;
    }
  }
  frame_close(e, f);
}

/* Pushes keys and values behind the first pair, which is on top, and writes them up to the first
** that is no scalar. Both are counted. Too many pairs: 0. */
static int gather_pairs(struct encoder *e, int slot, uint32_t *gathered, uint32_t *written) {
  lua_State *L = e->L;
  int at = lua_gettop(L) - 1;
  uint32_t n = 0, done = 0;
  do {
    if (n == 2 * GATHER) return 0;
    if (done == n && put_scalar(e, at, lua_type(L, at)))
      done += 1 + (uint32_t)put_scalar(e, at + 1, lua_type(L, at + 1));
    lua_pushvalue(L, at);
    n += 2;
    at += 2;
  } while (lua_next(L, slot));
  *gathered = n;
  *written = done;
  return 1;
}

static int encode_map(struct encoder *e, int slot, int top) {
  uint32_t start = here(e), n, done;
  if (e->depth > DEEP) return encode_stream(e, slot, top);
  put_byte(e, WIRE_FIXMAP);
  if (!gather_pairs(e, slot, &n, &done)) {
    e->at = e->body + start;
    return encode_stream(e, slot, top);
  }
  e->body[start] |= (unsigned char)(n / 2);
  if (done == n) {
    lua_settop(e->L, top);
  } else {
    struct frame *f = mp_encode_frame(e, FRAME_PAIRS, top + 1, top);
    f->i = done;
    f->n = n;
  }
  return done == n;
}

/* Values that stand on the stack from f->slot on. */
void mp_encode_step_list(struct encoder *e) {
  struct frame *f = &e->frames[e->depth - 1];
  while (f->i < f->n) {
    int slot = f->slot + (int)f->i++;
    int type = lua_type(e->L, slot);
    if (!put_scalar(e, slot, type) && !mp_encode_container(e, slot, type)) return;
  }
  frame_close(e, f);
}

int mp_encode_plain(struct encoder *e, int slot) {
  lua_State *L = e->L;
  int top = lua_gettop(L);
  lua_pushnil(L);
  if (!lua_next(L, slot)) {
    put_byte(e, WIRE_FIXMAP);
    return 1;
  }
  if (is_integer(L, -2, 1)) {
    int done = encode_array(e, slot, top);
    if (done != NOT_AN_ARRAY) return done;
    lua_pushnil(L);
    lua_next(L, slot);
  }
  return encode_map(e, slot, top);
}

static void put_back(struct encoder *e, struct entry *entry) {
  if (entry->state == ENTRY_PACKING)
    mp_encode_refuse(e, "an object that holds itself through its pack function cannot be sent");
  if (entry->state == ENTRY_ONCE) {
    entry->state = ENTRY_SHARED;
    e->shared++;
  }
  need(e, 6);
  *e->at++ = WIRE_FIXEXT4;
  *e->at++ = EXT_BACK;
  store32(e->at, entry->offset);
  e->at += 4;
}

int mp_encode_seen(struct encoder *e, int slot) {
  int fresh;
  struct entry *entry = mp_graph_entry(e, lua_topointer(e->L, slot), &fresh);
  if (!fresh) put_back(e, entry);
  return !fresh;
}

int mp_encode_table(struct encoder *e, int slot) {
  if (mp_encode_seen(e, slot)) return 1;
  if (e->names) {
    if (mp_encode_named(e, slot)) return 1;
    if (mp_encode_class(e, slot)) return 1;
  }
  if (lua_getmetatable(e->L, slot)) return mp_encode_instance(e, slot);
  return mp_encode_plain(e, slot);
}
