/*
** Handles: the userdata that stand for shared objects.
**
** A type is a constant struct; its metatable lies in the registry under its address. A userdata
** begins with a seal, its own address ^ that of its type, which is cleared when it is collected,
** so no other block of memory can pass for one. Reading the seal of a block that may be smaller
** needs a question to Lua about its size; addresses that were checked lately are known, and spare
** it. A userdata is made closed and opened afterwards: whatever fails in between, __gc finds
** nothing to do.
*/
#include "binding.h"

#include <string.h>

static const char type_key; /* in a metatable: its address is the key of the type's address */

/* ---- finding out what it is ---- */

uintptr_t mp_lua_known[MP_LUA_KNOWN];

static void know(const struct mp_lua_handle *u) {
  if (!u->state->ended) __atomic_store_n(mp_lua_known_at(u), (uintptr_t)u, __ATOMIC_RELAXED);
}

static void forget(const struct mp_lua_handle *u) {
  uintptr_t *at = mp_lua_known_at(u);
  if (__atomic_load_n(at, __ATOMIC_RELAXED) == (uintptr_t)u)
    __atomic_store_n(at, 0, __ATOMIC_RELAXED);
}

void mp_lua_handle_forget(void) {
  for (size_t i = 0; i < MP_LUA_KNOWN; i++)
    __atomic_store_n(&mp_lua_known[i], 0, __ATOMIC_RELAXED);
}

const struct mp_lua_type *mp_lua_handle_type(const struct mp_lua_handle *u) {
  return (const struct mp_lua_type *)(u->seal ^ (uintptr_t)u); /* NOLINT: sealed by handle_new */
}

struct mp_lua_handle *mp_lua_handle_test(lua_State *L, int index) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, index);
  if (u == NULL || lua_rawlen(L, index) < sizeof *u || !lua_getmetatable(L, index)) return NULL;
  lua_rawgetp(L, -1, &type_key);
  const struct mp_lua_type *type = (const struct mp_lua_type *)lua_touserdata(L, -1);
  lua_pop(L, 2);
  return type != NULL && u->seal == mp_lua_seal(u, type) ? u : NULL;
}

/* The same, sooner where the address is known. */
static struct mp_lua_handle *handle_find(lua_State *L, int index) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, index);
  if (u != NULL && __atomic_load_n(mp_lua_known_at(u), __ATOMIC_RELAXED) == (uintptr_t)u) return u;
  return mp_lua_handle_test(L, index);
}

static bool type_is(const struct mp_lua_type *type, const struct mp_lua_type *wanted) {
  while (type != NULL && type != wanted) type = type->base;
  return type != NULL;
}

static bool handle_usable(const struct mp_lua_handle *u) {
  return u->state->context != NULL && mp_context_valid(u->state->context);
}

struct mp_lua_handle *mp_lua_handle_check_slow(lua_State *L, int arg,
                                               const struct mp_lua_type *type, bool closed_too) {
  struct mp_lua_handle *u = handle_find(L, arg);
  if (u == NULL || !type_is(mp_lua_handle_type(u), type)) mp_lua_raise_type(L, arg, type->name);
  know(u);
  if (u->handle == NULL) {
    if (!closed_too) mp_lua_raise(L, "ValueError", "the %s is closed", mp_lua_handle_type(u)->noun);
  } else if (!handle_usable(u) && !closed_too) {
    mp_lua_context(L); /* says why not */
  }
  u->state->running = L;
  return u;
}

/* ---- life ---- */

static size_t size_of(const struct mp_lua_type *type) {
  return type->size > sizeof(struct mp_lua_handle) ? type->size : sizeof(struct mp_lua_handle);
}

static struct mp_lua_handle *handle_make(lua_State *L, const struct mp_lua_type *type,
                                         size_t size) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  int values = type->values > 0 ? type->values : 1;
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_newuserdatauv(L, size, values);
  memset(u, 0, size);
  u->state = s;
  u->seal = mp_lua_seal(u, type);
  lua_rawgetp(L, LUA_REGISTRYINDEX, type);
  lua_setmetatable(L, -2);
  return u;
}

struct mp_lua_handle *mp_lua_handle_new(lua_State *L, const struct mp_lua_type *type) {
  return handle_make(L, type, size_of(type));
}

/* The type of an object that arrived: by its kind, and where several share one, by asking. */
static const struct mp_lua_type *type_find(lua_State *L, struct mp_context *c,
                                           struct mp_handle *h) {
  uint32_t kind = w32_get(&h->object->kind);
  const struct mp_lua_type *found = NULL;
  mp_lua_types(L);
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > 0 && found == NULL; i--) {
    lua_rawgeti(L, -1, i);
    const struct mp_lua_type *type = (const struct mp_lua_type *)lua_touserdata(L, -1);
    if (type->kind == kind && kind != MP_KIND_NONE && (type->owns == NULL || type->owns(c, h)))
      found = type;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return found;
}

/* Its type is known only when the handle is open, which needs a userdata to be in: so it is made
** large enough for any type, and turned into one of the right type. */
void mp_lua_redeem(lua_State *L, const uint64_t ticket[2]) {
  static const struct mp_lua_type unknown = {.name = "shared object", .noun = "shared object"};
  struct mp_context *c = mp_lua_context(L);
  mp_ticket t = {{ticket[0], ticket[1]}};
  luaL_checkstack(L, 6, NULL);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &unknown) == LUA_TNIL) mp_lua_type(L, &unknown, NULL, NULL);
  lua_pop(L, 1);
  struct mp_lua_handle *u = handle_make(L, &unknown, mp_lua_state_of(L)->largest);
  mp_lua_result(L, mp_handle_open(c, t, &u->handle), "a shared object that arrived");
  const struct mp_lua_type *type = type_find(L, c, u->handle);
  if (type == NULL) mp_lua_raise(L, "TypeError", "a shared object of an unknown kind arrived");
  u->seal = mp_lua_seal(u, type);
  lua_rawgetp(L, LUA_REGISTRYINDEX, type);
  lua_setmetatable(L, -2);
  if (type->begin != NULL) type->begin(u);
}

void mp_lua_handle_close(lua_State *L, struct mp_lua_handle *u) {
  const struct mp_lua_type *type = mp_lua_handle_type(u);
  if (u->handle == NULL) return;
  u->state->running = L;
  if (handle_usable(u)) {
    if (type->end != NULL) type->end(u);
    (void)mp_handle_close(u->handle);
  }
  u->handle = NULL;
}

static int handle_close(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u != NULL) mp_lua_handle_close(L, u);
  return 0;
}

static int handle_gc(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u == NULL) return 0;
  mp_lua_handle_close(L, u);
  forget(u);
  u->seal = 0; /* the memory may be handed out again */
  return 0;
}

/* ---- what all handles answer ---- */

static int handle_eq(lua_State *L) {
  const struct mp_lua_handle *a = mp_lua_handle_test(L, 1), *b = mp_lua_handle_test(L, 2);
  lua_pushboolean(L, a != NULL && b != NULL && a->handle != NULL && a->handle == b->handle &&
                         mp_lua_handle_type(a) == mp_lua_handle_type(b));
  return 1;
}

static int handle_tostring(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u == NULL) return mp_lua_raise_type(L, 1, "shared object");
  const struct mp_lua_type *type = mp_lua_handle_type(u);
  if (u->handle == NULL || !handle_usable(u)) {
    lua_pushfstring(L, "%s (%s)", type->name, u->handle == NULL ? "closed" : "of another process");
    return 1;
  }
  lua_pushfstring(L, "%s #%I", type->name, (LUAI_UACINT)w64_get(&u->handle->object->id));
  if (type->show == NULL) return 1;
  type->show(L, u);
  lua_pushfstring(L, "%s (%s)", lua_tostring(L, -2), lua_tostring(L, -1));
  return 1;
}

int mp_lua_no_field(lua_State *L) {
  if (luaL_getmetafield(L, 1, "__name") != LUA_TSTRING)
    return mp_lua_raise_type(L, 1, "shared object");
  const char *name = lua_tostring(L, -1), *key = mp_lua_show(L, 2);
  return mp_lua_raise(L, "TypeError", "%s has no field %s to write to", name, key);
}

/* ---- types ---- */

static const luaL_Reg handle_metamethods[] = {{"__gc", handle_gc},
                                              {"__close", handle_close},
                                              {"__eq", handle_eq},
                                              {"__tostring", handle_tostring},
                                              {"__newindex", mp_lua_no_field},
                                              {NULL, NULL}};

/* The methods of the base are copied, those added to it later are looked up in it. */
static void methods_inherit(lua_State *L, const struct mp_lua_type *base, int methods) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, base);
  lua_rawgetp(L, -1, base); /* its methods */
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, methods);
  }
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, methods);
  lua_pop(L, 1);
}

static void methods_make(lua_State *L, const struct mp_lua_type *type, const luaL_Reg *methods) {
  lua_newtable(L);
  if (type->base != NULL) methods_inherit(L, type->base, lua_gettop(L));
  if (methods != NULL) luaL_setfuncs(L, methods, 0);
}

/* Enters the methods by name and the type by number in the state's list. */
static void type_list(lua_State *L, const struct mp_lua_type *type, int methods) {
  struct mp_lua_state *s = mp_lua_state_of(L);
  if (size_of(type) > s->largest) s->largest = size_of(type);
  mp_lua_types(L);
  lua_pushvalue(L, methods);
  lua_setfield(L, -2, type->name);
  lua_pushlightuserdata(L, (void *)(uintptr_t)type);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

void mp_lua_type(lua_State *L, const struct mp_lua_type *type, const luaL_Reg *methods,
                 const luaL_Reg *metamethods) {
  methods_make(L, type, methods);
  int at = lua_gettop(L);
  lua_createtable(L, 0, 12);
  lua_pushstring(L, type->name);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, at);
  lua_setfield(L, -2, "__index");
  luaL_setfuncs(L, handle_metamethods, 0);
  if (metamethods != NULL) {
    lua_pushvalue(L, at);
    luaL_setfuncs(L, metamethods, 1);
  }
  lua_pushlightuserdata(L, (void *)(uintptr_t)type);
  lua_rawsetp(L, -2, &type_key);
  lua_pushvalue(L, at);
  lua_rawsetp(L, -2, type);
  lua_rawsetp(L, LUA_REGISTRYINDEX, type);
  type_list(L, type, at);
  lua_pop(L, 1);
}
