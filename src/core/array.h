/*
** Array: numbers of one C type, side by side in shared memory; a Value is an array of one.
**
** Each element is read and written by one aligned access, so no reader sees half of one, with a
** lock or without. A lock may go with it, a shared object of its own, which the array mentions and
** which its users take (the binding does, around each call); the functions, which are public and
** in multiprocessing.h, do not.
*/
#ifndef MP_ARRAY_H
#define MP_ARRAY_H

#include "object.h"

extern const struct mp_kind mp_array_kind;

#endif
