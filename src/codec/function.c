/*
** Functions by value: the dumped code and the upvalues.
**
** The dump keeps its debug information, so that tracebacks from another process name lines. An
** upvalue is a cell that several functions may share: cells are numbered as they are met, and each
** function lists the numbers of its cells. The first mention of a cell is followed by its value.
** A cell is numbered before its value is written, and a function is an object of the graph before
** its upvalues are, so recursive local functions need nothing special.
**
** Which globals a function sees is the receiver's matter: _ENV is _G there, which travels by name.
** So is an _ENV with a metatable, which is how test frameworks and the like stand before _G; one
** that is a plain table is a value like any other.
*/
#include "encode.h"
#include "globals.h"
#include "name.h"

static int dump_append(lua_State *L, const void *bytes, size_t n, void *encoder) {
  struct encoder *e = encoder;
  (void)L;
  if (n == 0) return 0;
  need(e, n);
  memcpy(e->at, bytes, n);
  e->at += n;
  return 0;
}

static void put_code(struct encoder *e, int slot) {
  uint32_t start = here(e);
  need(e, 5);
  put_head32(e, WIRE_BIN32, 0);
  lua_pushvalue(e->L, slot);
  lua_dump(e->L, dump_append, e, 0);
  lua_settop(e->L, -2);
  store32(e->body + start + 1, here(e) - start - 5);
}

static int encode_code(struct encoder *e, int slot) {
  uint32_t start = extension_begin(e, EXT_FUNCTION);
  uint32_t dump = here(e) + 5;
  struct frame *f;
  put_code(e, slot);
  if (e->mode & MP_CODEC_CARRY) mp_encode_find_globals(e, slot, dump, here(e) - dump);
  f = mp_encode_frame(e, FRAME_UPVALUES, slot, lua_gettop(e->L));
  f->extension = start;
  return 0;
}

int mp_encode_function(struct encoder *e, int slot) {
  if (!(e->mode & MP_CODEC_CODE)) mp_encode_refuse(e, "a function is not plain data");
  if (mp_encode_names_begin(e)) return 0;
  if (mp_encode_seen(e, slot)) return 1;
  if (mp_encode_named_function(e, slot)) return 1;
  if (lua_iscfunction(e->L, slot))
    mp_encode_refuse(e, "a C function that no loaded module has cannot be sent");
  return encode_code(e, slot);
}

/* The cell of upvalue f->i, whose value is on top. Whether it is new. */
static int put_cell(struct encoder *e, const struct frame *f) {
  int fresh;
  struct entry *cell = mp_graph_entry(e, lua_upvalueid(e->L, f->slot, (int)f->i), &fresh);
  if (fresh) {
    cell->state = ENTRY_CELL;
    cell->offset = e->cells++;
  }
  put_integer(e, (lua_Integer)cell->offset);
  return fresh;
}

int mp_encode_is_environment(lua_State *L, const char *upvalue) {
  int same;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  same = lua_rawequal(L, -1, -2);
  lua_settop(L, -2);
  if (same) return 1;
  if (strcmp(upvalue, "_ENV") != 0 || lua_type(L, -1) != LUA_TTABLE) return 0;
  if (!lua_getmetatable(L, -1)) return 0;
  lua_settop(L, -2);
  return 1;
}

static int put_upvalue(struct encoder *e, const char *name, int value) {
  int type = lua_type(e->L, value);
  if (type == LUA_TTABLE && mp_encode_is_environment(e->L, name)) {
    mp_encode_globals(e);
    return 1;
  }
  return put_scalar(e, value, type) || mp_encode_container(e, value, type);
}

void mp_encode_step_upvalues(struct encoder *e) {
  struct frame *f = &e->frames[e->depth - 1];
  lua_State *L = e->L;
  int value = f->top + 1;
  const char *name;
  lua_settop(L, f->top);
  while ((name = lua_getupvalue(L, f->slot, (int)++f->i)) != NULL) {
    if (put_cell(e, f) && !put_upvalue(e, name, value)) return;
    lua_settop(L, f->top);
  }
  extension_end(e, f->extension);
  e->depth--;
}
