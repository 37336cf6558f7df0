/*
** Values with a metatable: instances of registered classes, shared objects, registered userdata.
**
** An instance is its table under its class's name; the receiver gives it the metatable that is
** registered there under that name. A class or a userdata type with a pack function sends what
** that returns (any number of values), and the receiver's unpack makes the object of it. What
** pack returned is kept to the end of the message, so that no address in the graph is reused.
**
** A shared object of this library sends a ticket, 16 bytes whose meaning is the hook's. The
** offsets of tickets are noted, for whoever sends the message has to count them.
*/
#include <lauxlib.h>

#include "encode.h"
#include "globals.h"
#include "name.h"

void mp_encode_anchor(struct encoder *e, int first, int n) {
  lua_State *L = e->L;
  int i;
  if (lua_type(L, ANCHORS_INDEX(e)) == LUA_TNIL) {
    lua_createtable(L, n, 0);
    lua_replace(L, ANCHORS_INDEX(e));
  }
  for (i = 0; i < n; i++) {
    lua_pushvalue(L, first + i);
    lua_rawseti(L, ANCHORS_INDEX(e), (lua_Integer)lua_rawlen(L, ANCHORS_INDEX(e)) + 1);
  }
}

static void put_type_name(struct encoder *e, int description) {
  size_t n;
  const char *s;
  lua_rawgeti(e->L, description, TYPE_NAME);
  s = lua_tolstring(e->L, -1, &n);
  mp_encode_string(e, s, n);
  lua_settop(e->L, -2);
}

/* How an instance says what it is: by its class's name, or, for a receiver who may have to load it
** first, by where the class stands in a module. */
static void put_class_name(struct encoder *e, int description) {
  if (e->mode & MP_CODEC_CARRY) {
    int named;
    lua_rawgeti(e->L, description, TYPE_CLASS);
    named = mp_encode_named(e, lua_gettop(e->L));
    lua_settop(e->L, -2);
    if (named) return;
    mp_encode_note_class(e, description);
  }
  put_type_name(e, description);
}

/* The pack function is on top: calls it with the object and opens a frame for its results. */
static int encode_packed(struct encoder *e, int slot, int description, enum wire_ext type) {
  lua_State *L = e->L;
  int first = lua_gettop(L), n;
  uint32_t entry = e->entry_count - 1, start;
  struct frame *f;
  e->entries[entry].state = ENTRY_PACKING;
  lua_pushvalue(L, slot);
  lua_call(L, 1, LUA_MULTRET);
  n = lua_gettop(L) - first + 1;
  mp_encode_room(e);
  mp_encode_anchor(e, first, n);
  start = extension_begin(e, type);
  if (type == EXT_PACKED) put_class_name(e, description);
  else put_type_name(e, description);
  put_integer(e, n);
  f = mp_encode_frame(e, FRAME_PACKED, first, description - 1);
  f->n = (uint32_t)n;
  f->extension = start;
  f->entry = entry;
  return 0;
}

static int encode_members(struct encoder *e, int slot, int description) {
  uint32_t start = extension_begin(e, EXT_INSTANCE), depth = e->depth;
  put_class_name(e, description);
  lua_settop(e->L, description - 1);
  if (mp_encode_plain(e, slot)) {
    extension_end(e, start);
    return 1;
  }
  e->frames[depth].extension = start;
  return 0;
}

/* A table whose metatable is no class here. */
static int encode_unregistered(struct encoder *e, int slot) {
  int done = mp_encode_held(e, slot);
  if (done == 0)
    mp_encode_refuse(e,
                     "a table whose metatable is not registered (register_class) cannot be sent");
  return done > 0;
}

/* The metatable is on top; it becomes the description of its class. */
static int push_class(lua_State *L) {
  mp_codec_table(L, CODEC_CLASSES);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return lua_type(L, -1) == LUA_TTABLE;
}

int mp_encode_instance(struct encoder *e, int slot) {
  lua_State *L = e->L;
  int description = lua_gettop(L);
  if (!push_class(L)) {
    lua_settop(L, description - 1);
    return encode_unregistered(e, slot);
  }
  if ((e->mode & MP_CODEC_CARRY) && mp_encode_names_begin(e)) return 0;
  if (lua_rawgeti(L, description, TYPE_PACK) == LUA_TFUNCTION)
    return encode_packed(e, slot, description, EXT_PACKED);
  return encode_members(e, slot, description);
}

int mp_encode_class(struct encoder *e, int slot) {
  lua_State *L = e->L;
  int description = lua_gettop(L) + 1, found;
  lua_pushvalue(L, slot);
  found = push_class(L);
  if (found) {
    uint32_t start = extension_begin(e, EXT_CLASS);
    put_type_name(e, description);
    mp_encode_note_class(e, description);
    extension_end(e, start);
  }
  lua_settop(L, description - 1);
  return found;
}

static void put_ticket(struct encoder *e, const uint64_t ticket[2]) {
  size_t used = e->ticket_count * sizeof(uint32_t);
  uint32_t *offsets =
      mp_codec_grow(e->L, e->state_index, SCRATCH_TICKETS, used, used + sizeof(uint32_t));
  need(e, 18);
  *e->at++ = WIRE_FIXEXT16;
  *e->at++ = EXT_TICKET;
  offsets[e->ticket_count++] = here(e);
  memcpy(e->at, ticket, 16);
  e->at += 16;
}

/* Asks the hook; 1 when a ticket was written. */
static int encode_shared(struct encoder *e, int slot) {
  int (*hook)(lua_State *, int, uint64_t *) = e->state->hooks.ticket;
  uint64_t ticket[2];
  int answer = hook ? hook(e->L, slot, ticket) : 0;
  if (answer < 0) mp_encode_refuse(e, "%s", lua_tostring(e->L, -1));
  if (answer == 0) return 0;
  if (!(e->mode & MP_CODEC_OBJECTS)) mp_encode_refuse(e, "a shared object is not plain data");
  put_ticket(e, ticket);
  return 1;
}

/* Pushes the description of a registered userdata type. */
static int push_foreign(lua_State *L, int slot) {
  int top = lua_gettop(L);
  if (luaL_getmetafield(L, slot, "__name") == LUA_TSTRING) {
    mp_codec_table(L, CODEC_FOREIGN);
    lua_insert(L, -2);
    lua_rawget(L, -2);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    if (lua_type(L, -1) == LUA_TTABLE) {
      lua_rawgeti(L, top + 1, TYPE_NAME);
      if (luaL_testudata(L, slot, lua_tostring(L, -1))) {
        lua_settop(L, top + 1);
        return 1;
      }
    }
  }
  lua_settop(L, top);
  return 0;
}

static void refuse_userdata(struct encoder *e, int slot) {
  const char *name = NULL;
  if (luaL_getmetafield(e->L, slot, "__name") == LUA_TSTRING) name = lua_tostring(e->L, -1);
  if (name) mp_encode_refuse(e, "a userdata (%s) cannot be sent", name);
  mp_encode_refuse(e, "a userdata cannot be sent");
}

int mp_encode_userdata(struct encoder *e, int slot) {
  int description = lua_gettop(e->L) + 1, done;
  if (mp_encode_seen(e, slot)) return 1;
  if (encode_shared(e, slot)) return 1;
  if (push_foreign(e->L, slot)) {
    lua_rawgeti(e->L, description, TYPE_PACK);
    return encode_packed(e, slot, description, EXT_FOREIGN);
  }
  done = mp_encode_held(e, slot);
  if (done == 0) refuse_userdata(e, slot);
  return done > 0;
}

/* {name, pack, unpack, value at `what`}, from the option table at stack index 3 or 2. */
static void push_description(lua_State *L, int options, int what) {
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, TYPE_NAME);
  if (!lua_isnoneornil(L, options)) {
    lua_getfield(L, options, "pack");
    lua_rawseti(L, -2, TYPE_PACK);
    lua_getfield(L, options, "unpack");
    lua_rawseti(L, -2, TYPE_UNPACK);
  }
  lua_pushvalue(L, what);
  lua_rawseti(L, -2, TYPE_CLASS);
}

/* Puts the description on top into that table, under the value at `key`. */
static void description_enter(lua_State *L, enum codec_table table, int key) {
  mp_codec_table(L, table);
  lua_pushvalue(L, key);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void check_functions(lua_State *L, int options, int needed) {
  int pack, unpack;
  if (!needed && lua_isnoneornil(L, options)) return;
  luaL_checktype(L, options, LUA_TTABLE);
  pack = lua_getfield(L, options, "pack");
  unpack = lua_getfield(L, options, "unpack");
  lua_pop(L, 2);
  if (!needed && pack == LUA_TNIL && unpack == LUA_TNIL) return;
  luaL_argcheck(L, pack == LUA_TFUNCTION && unpack == LUA_TFUNCTION, options,
                "pack and unpack must both be functions");
}

int mp_codec_register_class(lua_State *L) {
  luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  check_functions(L, 3, 0);
  push_description(L, 3, 2);
  description_enter(L, CODEC_CLASSES, 2);
  description_enter(L, CODEC_NAMES, 1);
  lua_settop(L, 2);
  return 1;
}

int mp_codec_register_userdata(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 2);
  check_functions(L, 2, 1);
  push_description(L, 2, 1);
  description_enter(L, CODEC_FOREIGN, 1);
  return 0;
}
