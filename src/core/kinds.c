/*
** The kinds of shared objects: the one place that knows them all.
*/
#include "object.h"

const struct mp_kind *const mp_kinds[MP_KINDS] = {
  [MP_KIND_NONE] = NULL,
};
