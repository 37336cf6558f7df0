/*
** Array: numbers of one C type, side by side in shared memory; a Value is an array of one.
**
** Each element is read and written by one aligned access, so no reader sees half of one, with a
** lock or without. A locked array has a recursive lock, a shared object of its own, which the
** array mentions: mp_array_enter takes it, and whoever holds it keeps all other users out.
** The public functions are in multiprocessing.h.
*/
#ifndef MP_ARRAY_H
#define MP_ARRAY_H

#include "object.h"

extern const struct mp_kind mp_array_kind;

#endif
