/*
** Objects that travel by name: "module", "module\0field", or, for the methods of a userdata type,
** "\0type\0method". scan.c finds the names, name.c writes and resolves them.
*/
#ifndef MP_CODEC_NAME_H
#define MP_CODEC_NAME_H

#include "encode.h"

/* A function: also looks through all modules once per message, so the answer is never stale. */
int mp_encode_named_function(struct encoder *e, int slot);

/* Writes the receiver's globals. */
void mp_encode_globals(struct encoder *e);

/* Takes up the names of modules that are new, or of all again. */
void mp_name_scan(lua_State *L, int known, int again);

/* Pushes what the name stands for now, nil if nothing. */
void mp_name_push(lua_State *L, const char *name, size_t n);

/* The same for a receiver, which loads modules: 0 and the reason (a string) if that fails. */
int mp_name_find(lua_State *L, const char *name, size_t n);

#endif
