/*
** Which globals a function reads, found in its dumped code (proto.c).
*/
#ifndef MP_CODEC_PROTO_H
#define MP_CODEC_PROTO_H

#include <stddef.h>

#include <lua.h>

/* `note` is called with each name; `is_env[i]` says whether upvalue i of the function is _ENV. */
struct proto_query {
  lua_State *L;
  void (*note)(void *data, const char *name, size_t n);
  void *data;
  const unsigned char *is_env;
};

/* Looks through a dump of this Lua's own make. */
void mp_proto_globals(const struct proto_query *query, const unsigned char *dump, size_t size);

#endif
