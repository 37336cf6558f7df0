/*
** Functions from bytes: the code, then the upvalues (function.c writes them).
**
** Only trusted bytes come here: Lua does not verify bytecode. A number below the count of cells
** joins the upvalue to the one that cell was first seen in; the next number makes a cell of this
** upvalue, and its value follows.
*/
#include "decode.h"

struct piece {
  const unsigned char *bytes;
  size_t size;
};

static const char *piece_read(lua_State *L, void *data, size_t *size) {
  struct piece *piece = data;
  (void)L;
  *size = piece->size;
  piece->size = 0;
  return (const char *)piece->bytes;
}

int mp_decode_function(struct decoder *d, const unsigned char *start, const unsigned char *end) {
  struct piece piece;
  struct open *o;
  int status;
  piece.bytes = (const unsigned char *)mp_decode_text(d, end, &piece.size);
  status = lua_load(d->L, piece_read, &piece, "=function", "b");
  if (status == LUA_ERRMEM) lua_error(d->L);
  if (status != LUA_OK)
    mp_decode_fail(d, start, "the function cannot be loaded: %s", lua_tostring(d->L, -1));
  if (mp_decode_marked(d, start)) mp_decode_note(d, start);
  if (d->at == end) return 1;
  o = mp_decode_open(d, OPEN_UPVALUES, lua_gettop(d->L), 1);
  o->end = end;
  return 0;
}

/* cells[2n + 1], cells[2n + 2]: the function and the upvalue in which cell n was first seen. */
static void cell_note(struct decoder *d, const struct open *o) {
  if (lua_type(d->L, CELLS_INDEX(d)) == LUA_TNIL) {
    lua_createtable(d->L, 8, 0);
    lua_replace(d->L, CELLS_INDEX(d));
  }
  lua_pushvalue(d->L, o->slot);
  lua_rawseti(d->L, CELLS_INDEX(d), 2 * d->cells + 1);
  lua_pushinteger(d->L, (lua_Integer)o->i);
  lua_rawseti(d->L, CELLS_INDEX(d), 2 * d->cells + 2);
  d->cells++;
}

static void cell_join(struct decoder *d, const struct open *o, lua_Integer cell) {
  int n;
  lua_rawgeti(d->L, CELLS_INDEX(d), 2 * cell + 2);
  n = (int)lua_tointegerx(d->L, -1, NULL);
  lua_rawgeti(d->L, CELLS_INDEX(d), 2 * cell + 1);
  lua_upvaluejoin(d->L, o->slot, (int)o->i, -1, n);
  lua_settop(d->L, -3);
}

int mp_decode_step_upvalues(struct decoder *d, struct open *o) {
  while (d->at < o->end) {
    const unsigned char *start = d->at;
    lua_Integer cell = (lua_Integer)mp_decode_count(d, o->end);
    if (!lua_getupvalue(d->L, o->slot, (int)++o->i))
      mp_decode_fail(d, start, "the function has fewer upvalues");
    lua_settop(d->L, -2);
    if (cell > d->cells) mp_decode_fail(d, start, "an upvalue's cell is not there");
    if (cell < d->cells) {
      cell_join(d, o, cell);
    } else {
      cell_note(d, o);
      if (!mp_decode_value(d)) return 0;
      lua_setupvalue(d->L, o->slot, (int)o->i);
    }
  }
  return 1;
}
