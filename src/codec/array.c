/*
** Arrays from bytes.
**
** An array of scalars is read onto the stack, above a Lua function that makes a table of its
** arguments: Lua moves them into a new table with half the work that an API call for each of them
** takes. When another thing comes than a scalar, a table is made of what is there, and the rest is
** set element by element: so is an array that others refer to, since it has to be there before its
** elements, and one that is too short for the call or too long for the stack.
*/
#include "decode.h"

/* How many scalars are worth a call; how many are too much for the stack. */
#define RUN_MIN 12
#define RUN_MAX 0x8000

/* Whether a value that begins with this byte is a number, a string, a boolean or nil. */
static int is_scalar(unsigned c) {
  if (c < WIRE_NIL) return c < WIRE_FIXMAP || c >= WIRE_FIXSTR;
  if (c >= WIRE_NEGFIX || (c >= WIRE_FLOAT32 && c <= WIRE_INT64)) return 1;
  return c <= WIRE_BIN32 || (c >= WIRE_STR8 && c <= WIRE_STR32);
}

/* While the maker runs its arguments stand on the stack twice. */
int mp_decode_run_begin(struct decoder *d, size_t n) {
  lua_State *L = d->L;
  int room;
  if (n < RUN_MIN || n > RUN_MAX || !is_scalar(*d->at)) return 0;
  room = 2 * (int)n + DECODE_ROOM;
  if (!lua_checkstack(L, room)) return 0;
  d->ceiling = lua_gettop(L) + room;
  if (lua_type(L, MAKER_INDEX(d)) == LUA_TNIL) {
    mp_codec_table(L, CODEC_MAKER);
    lua_replace(L, MAKER_INDEX(d));
  }
  lua_pushvalue(L, MAKER_INDEX(d));
  return 1;
}

/* Another thing than a scalar comes: an array like any other. */
static void run_break(struct decoder *d, struct open *o) {
  lua_State *L = d->L;
  int n = lua_gettop(L) - o->slot;
  o->kind = OPEN_ARRAY;
  o->i = (uint32_t)n;
  lua_createtable(L, n + (int)o->left, 0);
  lua_replace(L, o->slot);
  for (; n > 0; n--) lua_rawseti(L, o->slot, n);
}

int mp_decode_step_array(struct decoder *d, struct open *o) {
  lua_State *L = d->L;
  int slot = o->slot;
  while (o->left > 0) {
    if (!mp_decode_usual(d) && !mp_decode_value(d)) return 0;
    lua_rawseti(L, slot, (lua_Integer)++o->i);
    o->left--;
  }
  return 1;
}

int mp_decode_step_run(struct decoder *d, struct open *o) {
  for (; o->left > 0; o->left--) {
    if (mp_decode_usual(d)) continue;
    if (d->at < d->end && !is_scalar(*d->at)) {
      run_break(d, o);
      return mp_decode_step_array(d, o);
    }
    mp_decode_value(d);
  }
  lua_call(d->L, lua_gettop(d->L) - o->slot, 1);
  return 1;
}
