/*
** Event.
*/
#include "binding.h"
#include "nouns.h"

static void event_show(lua_State *L, struct mp_lua_handle *u) {
  lua_pushstring(L, mp_event_is_set(u->handle) ? "set" : "unset");
}

static const struct mp_lua_type event_type = {
    .name = "Event", .noun = "event", .kind = MP_KIND_EVENT, .show = event_show};

static struct mp_handle *event_check(lua_State *L) {
  return mp_lua_handle_check(L, 1, &event_type)->handle;
}

static int event_new(lua_State *L) {
  static const struct mp_lua_option none[] = {{NULL, MP_LUA_ANY}};
  mp_lua_options(L, 1, none);
  struct mp_context *c = mp_lua_context(L);
  struct mp_lua_handle *u = mp_lua_handle_new(L, &event_type);
  mp_lua_result(L, mp_event_new(c, &u->handle), "Event");
  return 1;
}

static int event_is_set(lua_State *L) {
  lua_pushboolean(L, mp_event_is_set(event_check(L)));
  return 1;
}

static int event_set(lua_State *L) {
  mp_event_set(event_check(L));
  return 0;
}

static int event_clear(lua_State *L) {
  mp_event_clear(event_check(L));
  return 0;
}

static int event_wait(lua_State *L) {
  struct mp_handle *h = event_check(L);
  mp_deadline until = mp_lua_timeout(L, 2);
  uint64_t since = mp_event_moment(h);
  int r;
  do r = mp_event_wait(h, since, until);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  if (r != MP_TIMEOUT) mp_lua_result(L, r, "Event");
  lua_pushboolean(L, r == 0);
  return 1;
}

static const luaL_Reg event_methods[] = {{"is_set", event_is_set},
                                         {"set", event_set},
                                         {"clear", event_clear},
                                         {"wait", event_wait},
                                         {NULL, NULL}};
static const luaL_Reg event_functions[] = {{"Event", event_new}, {NULL, NULL}};

void mp_lua_open_event(lua_State *L) {
  mp_lua_type(L, &event_type, event_methods, NULL);
  mp_lua_functions(L, event_functions);
}
