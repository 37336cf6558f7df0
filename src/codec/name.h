/*
** Objects that travel by name (name.c).
*/
#ifndef MP_CODEC_NAME_H
#define MP_CODEC_NAME_H

#include "encode.h"

/* A function: also looks through all modules once per message, so the answer is never stale. */
int mp_encode_named_function(struct encoder *e, int slot);

/* Writes the receiver's globals. */
void mp_encode_globals(struct encoder *e);

/* Pushes what the name stands for here and returns 1; or pushes why not (a string), returns 0. */
int mp_name_find(lua_State *L, const char *module, size_t n, const char *key, size_t key_size);

#endif
