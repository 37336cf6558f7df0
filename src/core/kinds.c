/*
** The kinds of shared objects: the one place that knows them all.
*/
#include "array.h"
#include "object.h"

const struct mp_kind *const mp_kinds[MP_KINDS] = {
  [MP_KIND_NONE] = NULL,
  [MP_KIND_ARRAY] = &mp_array_kind,
};
