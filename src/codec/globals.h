/*
** What goes along with functions and instances under MP_CODEC_CARRY (globals.c).
*/
#ifndef MP_CODEC_GLOBALS_H
#define MP_CODEC_GLOBALS_H

#include "encode.h"

/* The function at `slot` was dumped to these bytes of the body: notes the globals it reads. */
void mp_encode_find_globals(struct encoder *e, int slot, uint32_t dump, uint32_t size);

/* The class that this description (a stack index) is of is used by the message. */
void mp_encode_note_class(struct encoder *e, int description);

/* Writes what was noted, after the body. */
void mp_encode_extras(struct encoder *e);

#endif
