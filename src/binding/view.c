/*
** Views: types, lock, elements, what all four have in common (view.h says what they are).
*/
#include "view.h"

#include "../core/sync.h"

/* ---- types ---- */

static bool shape_is(const struct mp_handle *h, unsigned flags) {
  return mp_array_shape_of(h).flags == flags;
}
static bool owns_value(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return shape_is(h, MP_ARRAY_SCALAR | MP_ARRAY_LOCKED);
}
static bool owns_raw_value(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return shape_is(h, MP_ARRAY_SCALAR);
}
static bool owns_array(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return shape_is(h, MP_ARRAY_LOCKED);
}
static bool owns_raw_array(struct mp_context *c, struct mp_handle *h) {
  (void)c;
  return shape_is(h, 0);
}

static void view_end(struct mp_lua_handle *u) {
  struct mp_lua_view *v = (struct mp_lua_view *)u;
  v->lock = mp_lock_close(v->lock);
}

static void view_show(lua_State *L, struct mp_lua_handle *u);

#define TYPE(id, type_name, owner)                                   \
  const struct mp_lua_type id = {.name = (type_name),                \
                                 .noun = (type_name),                \
                                 .kind = MP_KIND_ARRAY,              \
                                 .size = sizeof(struct mp_lua_view), \
                                 .owns = (owner),                    \
                                 .end = view_end,                    \
                                 .show = view_show}
TYPE(mp_lua_value_type, "Value", owns_value);
TYPE(mp_lua_raw_value_type, "RawValue", owns_raw_value);
TYPE(mp_lua_array_type, "Array", owns_array);
TYPE(mp_lua_raw_array_type, "RawArray", owns_raw_array);

/* ---- the lock ---- */

void mp_lua_view_learn(lua_State *L, struct mp_lua_view *v) {
  mp_array_shape s = mp_array_shape_of(v->base.handle);
  const struct mp_lua_type *type = mp_lua_handle_type(&v->base);
  v->code = s.code;
  v->count = s.count;
  v->scalar = (s.flags & MP_ARRAY_SCALAR) != 0;
  v->takes = type == &mp_lua_value_type || type == &mp_lua_array_type;
  if (v->takes) mp_lua_result(L, mp_array_lock(v->base.handle, &v->lock), type->name);
  v->known = true;
}

struct mp_lua_view *mp_lua_view_either(lua_State *L, const struct mp_lua_type *type,
                                       const struct mp_lua_type *raw) {
  const struct mp_lua_handle *u = (const struct mp_lua_handle *)lua_touserdata(L, 1);
  bool is_raw = u != NULL && lua_rawlen(L, 1) >= sizeof *u && u->seal == mp_lua_seal(u, raw);
  return mp_lua_view_check(L, is_raw ? raw : type);
}

enum { NOT_ENTERED, ENTERED, ENTERED_ABANDONED };

int mp_lua_view_acquire(lua_State *L, struct mp_lua_view *v) {
  int r;
  if (mp_lock_mine(v->lock)) return NOT_ENTERED;
  do r = mp_lock_acquire(v->lock, MP_FOREVER);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  return r == MP_ABANDONED ? ENTERED_ABANDONED : ENTERED;
}

/* That the last holder died is for those to know who acquire the lock themselves. */
void mp_lua_view_release(struct mp_lua_view *v, int entered) {
  if (entered == ENTERED_ABANDONED)
    mp_lock_return(v->lock);
  else
    (void)!mp_lock_release(v->lock);
}

struct mp_lua_site mp_lua_view_whole(const struct mp_lua_view *v) {
  return (struct mp_lua_site){mp_lua_handle_type(&v->base)->name, v->code, 0};
}

struct mp_lua_site mp_lua_view_site(const struct mp_lua_view *v, size_t i) {
  struct mp_lua_site site = mp_lua_view_whole(v);
  if (!v->scalar) site.element = (lua_Integer)i + 1;
  return site;
}

/* ---- one element ---- */

int mp_lua_view_get(lua_State *L, struct mp_lua_view *v, size_t i) {
  mp_number n = {0};
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_get(v->base.handle, i, &n);
  mp_lua_view_leave(v, entered);
  if (r != 0) return 0;
  mp_lua_number_push(L, v->code, n);
  return 1;
}

/* Sets element i to the value at that index of the stack. */
int mp_lua_view_set(lua_State *L, struct mp_lua_view *v, size_t i, int index) {
  struct mp_lua_site site = mp_lua_view_site(v, i);
  mp_number n = mp_lua_number_check(L, index, &site);
  int entered = mp_lua_view_enter(L, v);
  int r = mp_array_set(v->base.handle, i, n);
  mp_lua_view_leave(v, entered);
  mp_lua_result(L, r, site.what);
  return 0;
}

/* ---- both ---- */

int mp_lua_view_get_lock(lua_State *L) {
  struct mp_lua_view *v = mp_lua_view_either(L, &mp_lua_value_type, &mp_lua_array_type);
  mp_lua_redeem(L, mp_handle_ticket(v->lock).word);
  return 1;
}

/* The same object, without its lock. */
int mp_lua_view_get_obj(lua_State *L) {
  struct mp_lua_view *v = mp_lua_view_either(L, &mp_lua_value_type, &mp_lua_array_type);
  struct mp_lua_handle *raw =
      mp_lua_handle_new(L, v->scalar ? &mp_lua_raw_value_type : &mp_lua_raw_array_type);
  raw->handle = mp_handle_share(v->base.handle);
  return 1;
}

int mp_lua_view_close(lua_State *L) {
  struct mp_lua_handle *u = mp_lua_handle_test(L, 1);
  if (u == NULL || u->handle == NULL) return 0;
  (void)(mp_lua_handle_type(u)->kind == MP_KIND_ARRAY ? 0 : mp_lua_raise_type(L, 1, "Value"));
  mp_lua_handle_close(L, u);
  return 0;
}

#define SHOWN 16
#define SHOWN_TEXT 64

/* Adds what a message would show of the value on top of the stack, which it pops. */
static void add_shown(lua_State *L, luaL_Buffer *b, const char *before) {
  lua_pushfstring(L, "%s%s", before, mp_lua_show(L, -1));
  lua_replace(L, -3);
  lua_pop(L, 1);
  luaL_addvalue(b);
}

static void push_element(lua_State *L, struct mp_handle *h, char code, size_t i) {
  mp_number n = {0};
  (void)!mp_array_get(h, i, &n);
  mp_lua_number_push(L, code, n);
}

/* The beginning of an array of characters, as the string that it is. */
static size_t show_text(lua_State *L, struct mp_handle *h, mp_array_shape s, luaL_Buffer *b) {
  luaL_Buffer text;
  size_t n = s.count < SHOWN_TEXT ? s.count : SHOWN_TEXT;
  luaL_buffinit(L, &text);
  for (size_t i = 0; i < n; i++) {
    push_element(L, h, s.code, i);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  add_shown(L, b, ": ");
  return n;
}

static size_t show_list(lua_State *L, struct mp_handle *h, mp_array_shape s, luaL_Buffer *b) {
  size_t n = s.count < SHOWN ? s.count : SHOWN;
  for (size_t i = 0; i < n; i++) {
    push_element(L, h, s.code, i);
    add_shown(L, b, i == 0 ? ": " : ", ");
  }
  return n;
}

/* 'i': 5, or 'i': 1, 2, 3, ... 1000 in all. Read without the lock: printing waits for nobody. */
static void view_show(lua_State *L, struct mp_lua_handle *u) {
  mp_array_shape s = mp_array_shape_of(u->handle);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  lua_pushfstring(L, "'%c'", s.code);
  luaL_addvalue(&b);
  bool text = (s.code == 'c' || s.code == 'u') && (s.flags & MP_ARRAY_SCALAR) == 0;
  size_t n = (text ? show_text : show_list)(L, u->handle, s, &b);
  if (n < s.count) {
    lua_pushfstring(L, ", ... %I in all", (LUAI_UACINT)s.count);
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
}

/* ---- constructors ---- */

/* The option lock at `first`: a lock's handle to be used, or *fresh is to be made. */
mp_lock *mp_lua_view_lock_option(lua_State *L, int first, bool *fresh) {
  static const struct mp_lua_option options[] = {{"lock", MP_LUA_ANY}, {NULL, MP_LUA_ANY}};
  mp_lua_options(L, first, options);
  *fresh = lua_isnil(L, first) || (lua_isboolean(L, first) && lua_toboolean(L, first));
  if (*fresh || lua_isboolean(L, first)) return NULL;
  const struct mp_lua_handle *u = mp_lua_handle_test(L, first);
  uint32_t kind = u != NULL && u->handle != NULL ? w32_get(&u->handle->object->kind) : 0;
  if (kind != MP_KIND_LOCK && kind != MP_KIND_RLOCK)
    mp_lua_raise(L, "TypeError", "lock must be true, false, a Lock or an RLock, not %s",
                 mp_lua_show(L, first));
  return u->handle;
}

int mp_lua_view_make(lua_State *L, mp_array_options o, bool fresh) {
  static const struct mp_lua_type *const types[2][2] = {
      {&mp_lua_raw_array_type, &mp_lua_array_type}, {&mp_lua_raw_value_type, &mp_lua_value_type}};
  struct mp_context *c = mp_lua_context(L);
  bool locked = fresh || o.lock != NULL;
  const struct mp_lua_type *type = types[(o.flags & MP_ARRAY_SCALAR) != 0][locked];
  struct mp_lua_view *v = (struct mp_lua_view *)mp_lua_handle_new(L, type);
  mp_lock *made = NULL;
  int r = fresh ? mp_rlock_new(c, &made) : 0;
  if (fresh) o.lock = made;
  if (r == 0) r = mp_array_new(c, &o, &v->base.handle);
  mp_lock_close(made);
  mp_lua_result(L, r, type->name);
  return 1;
}

/* ---- types, for Lua ---- */

void mp_lua_view_type(lua_State *L, const struct mp_lua_type *type, const luaL_Reg *methods,
                      const luaL_Reg *metamethods) {
  mp_lua_type(L, type, methods, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, type);
  for (const luaL_Reg *m = metamethods; m->name != NULL; m++) {
    lua_rawgetp(L, -1, type); /* its methods */
    lua_pushliteral(L, "value");
    lua_pushcclosure(L, m->func, 2);
    lua_setfield(L, -2, m->name);
  }
  lua_pop(L, 1);
}
