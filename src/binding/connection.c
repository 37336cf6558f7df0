/*
** Connection: an end of a pipe.
**
** The userdata is a queue's, so that a message that could not be made a value for want of memory is
** kept and delivered by the next call, as with queues. A hook that runs while a call waits may
** close the connection: it is looked at again before each try.
*/
#include <errno.h>
#include <string.h>

#include "nouns.h"
#include "queue_letters.h"

static const struct mp_lua_type connection_type;

/* ---- what is wrong ---- */

static const struct mp_lua_condition send_conditions[] = {
    {MP_CLOSED, "BrokenPipeError", "the other end is closed: nobody would receive this"},
    {0, NULL, NULL}};
static const struct mp_lua_condition receive_conditions[] = {
    {MP_CLOSED, "EOFError", "the other end is closed, and nothing is left to receive"},
    {MP_TOO_BIG, "BufferTooShort",
     "the message is longer than asked for; it can still be received"},
    {0, NULL, NULL}};

/* The open connection at argument 1; OSError when it is closed, as in Python. */
static struct mp_lua_queue *connection_check(lua_State *L) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, 1);
  if (mp_unlikely(u == NULL || lua_rawlen(L, 1) < sizeof *u ||
                  u->seal != mp_lua_seal(u, &connection_type) || u->handle == NULL)) {
    u = mp_lua_handle_check_any(L, 1, &connection_type);
    if (u->handle == NULL) mp_lua_raise(L, "OSError", "handle is closed");
  }
  return (struct mp_lua_queue *)mp_lua_handle_check(L, 1, &connection_type);
}

/* The handle, which a hook may have closed since. */
static mp_connection *connection_of(lua_State *L, const struct mp_lua_queue *u) {
  if (mp_unlikely(u->base.handle == NULL)) mp_lua_raise(L, "OSError", "handle is closed");
  return u->base.handle;
}

static void complain(lua_State *L, int r, const struct mp_lua_condition *conditions) {
  if (r == -EBADF)
    mp_lua_raise(L, "OSError", "connection is %s",
                 conditions == send_conditions ? "read-only" : "write-only");
  mp_lua_result_as(L, r, "Connection", conditions);
}

/* ---- sending ---- */

static int send_parcel(lua_State *L, struct mp_lua_queue *u, const mp_parcel *p) {
  int r;
  do r = mp_connection_send(connection_of(L, u), p, MP_FOREVER);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  return r;
}

static int connection_send(lua_State *L) {
  struct mp_lua_queue *u = connection_check(L);
  struct mp_lua_parcel p;
  if (lua_isnone(L, 2)) return mp_lua_raise_type(L, 2, "value");
  if (!mp_connection_writable(u->base.handle)) complain(L, -EBADF, send_conditions);
  mp_lua_encode_value(L, 2, "value", &p);
  int r = send_parcel(L, u, &p.parcel);
  mp_lua_encode_done(&p);
  if (mp_unlikely(r != 0)) complain(L, r, send_conditions);
  return 0;
}

/* send_bytes(s [, i [, j]]): positions as those of string.sub. */
static int connection_send_bytes(lua_State *L) {
  struct mp_lua_queue *u = connection_check(L);
  size_t length;
  if (lua_type(L, 2) != LUA_TSTRING) return mp_lua_raise_type(L, 2, "string");
  const char *s = lua_tolstring(L, 2, &length);
  struct mp_lua_span span = mp_lua_span(L, 3, length);
  mp_parcel p = {.bytes = s + span.first, .length = span.count};
  int r = send_parcel(L, u, &p);
  if (mp_unlikely(r != 0)) complain(L, r, send_conditions);
  return 0;
}

/* ---- receiving ---- */

static int receive(lua_State *L, struct mp_lua_queue *u, size_t max, mp_letter *out) {
  int r;
  do r = mp_connection_receive(connection_of(L, u), max, MP_FOREVER, out);
  while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  return r;
}

static int connection_recv(lua_State *L) {
  struct mp_lua_queue *u = connection_check(L);
  mp_letter l;
  lua_settop(L, 1);
  if (mp_unlikely(u->kept_count > 0)) {
    (void)mp_lua_letters_again(L, u);
    return 1;
  }
  int r = receive(L, u, SIZE_MAX, &l);
  if (mp_unlikely(r != 0)) complain(L, r, receive_conditions);
  mp_lua_letter_push(L, u, &l);
  return 1;
}

static size_t longest(lua_State *L, int arg) {
  lua_Integer max = mp_lua_position(L, arg, -1);
  if (max < 0 && !lua_isnoneornil(L, arg))
    mp_lua_raise(L, "ValueError", "negative maxlength %I", (LUAI_UACINT)max);
  return max < 0 ? SIZE_MAX : (size_t)max;
}

/* Keeps a letter until it is a string. */
static void keep(struct mp_lua_queue *u, const mp_letter *l) {
  u->single = *l;
  if (l->block == 0) u->single.parcel.bytes = u->single.small;
  u->kept = &u->single;
  u->kept_count = 1;
}

/* recv_bytes([max]) */
static int connection_recv_bytes(lua_State *L) {
  struct mp_lua_queue *u = connection_check(L);
  size_t max = longest(L, 2);
  if (mp_likely(u->kept_count == 0)) {
    mp_letter l;
    int r = receive(L, u, max, &l);
    if (mp_unlikely(r != 0)) complain(L, r, receive_conditions);
    mp_lua_letters_drop(u); /* what a hook could not have meanwhile */
    keep(u, &l);
  }
  if (u->kept->parcel.length > max) complain(L, MP_TOO_BIG, receive_conditions);
  lua_pushlstring(L, (const char *)u->kept->parcel.bytes, u->kept->parcel.length);
  mp_lua_letters_drop(u);
  return 1;
}

/* poll([timeout]): does not wait unless told to. */
static int connection_poll(lua_State *L) {
  struct mp_lua_queue *u = connection_check(L);
  mp_deadline until = lua_isnoneornil(L, 2) ? MP_NOW : mp_lua_timeout(L, 2);
  int r = 0;
  if (u->kept_count == 0) {
    do r = mp_connection_poll(connection_of(L, u), until);
    while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
  }
  if (r != 0 && r != MP_TIMEOUT) complain(L, r, receive_conditions);
  lua_pushboolean(L, r == 0);
  return 1;
}

/* ---- the object ---- */

static int connection_close(lua_State *L) {
  mp_lua_handle_close(L, mp_lua_handle_check_any(L, 1, &connection_type));
  return 0;
}

static void connection_end(struct mp_lua_handle *u) {
  mp_lua_letters_drop((struct mp_lua_queue *)u);
}

static void connection_show(lua_State *L, struct mp_lua_handle *u) {
  bool in = mp_connection_readable(u->handle), out = mp_connection_writable(u->handle);
  lua_pushstring(L, in && out ? "two-way" : in ? "read-only" : "write-only");
}

static const struct mp_lua_type connection_type = {.name = "Connection",
                                                   .noun = "connection",
                                                   .kind = MP_KIND_PIPE,
                                                   .size = sizeof(struct mp_lua_queue),
                                                   .end = connection_end,
                                                   .show = connection_show};

/* The fields: closed, readable, writable. Upvalue: the methods. */
static int connection_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (mp_likely(lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL)) return 1;
  const struct mp_lua_handle *u = mp_lua_handle_check_any(L, 1, &connection_type);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "closed") == 0)
    lua_pushboolean(L, u->handle == NULL);
  else if (strcmp(key, "readable") == 0)
    lua_pushboolean(L, u->handle != NULL && mp_connection_readable(u->handle));
  else if (strcmp(key, "writable") == 0)
    lua_pushboolean(L, u->handle != NULL && mp_connection_writable(u->handle));
  else
    return 0;
  return 1;
}

/* Pipe([duplex]) -> two connections */
static int connection_pipe(lua_State *L) {
  static const struct mp_lua_option options[] = {{"duplex", MP_LUA_BOOLEAN}, {NULL, MP_LUA_ANY}};
  mp_connection *ends[2];
  struct mp_context *c = mp_lua_context(L);
  mp_lua_options(L, 1, options);
  bool duplex = lua_isnil(L, 1) || lua_toboolean(L, 1);
  struct mp_lua_handle *first = mp_lua_handle_new(L, &connection_type);
  struct mp_lua_handle *second = mp_lua_handle_new(L, &connection_type);
  mp_lua_result(L, mp_pipe_new(c, duplex, ends), "Pipe");
  first->handle = ends[0];
  second->handle = ends[1];
  return 2;
}

static const luaL_Reg connection_methods[] = {{"send", connection_send},
                                              {"recv", connection_recv},
                                              {"poll", connection_poll},
                                              {"send_bytes", connection_send_bytes},
                                              {"recv_bytes", connection_recv_bytes},
                                              {"close", connection_close},
                                              {NULL, NULL}};
static const luaL_Reg connection_metamethods[] = {{"__index", connection_index}, {NULL, NULL}};
static const luaL_Reg connection_functions[] = {{"Pipe", connection_pipe}, {NULL, NULL}};

void mp_lua_open_connection(lua_State *L) {
  mp_lua_type(L, &connection_type, connection_methods, connection_metamethods);
  mp_lua_functions(L, connection_functions);
}
