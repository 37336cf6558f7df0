/* For clang-tidy only: tells it that errno is positive where somebody reads it, so that it
** does not follow paths on which a failed call "returns 0" by `return -errno`. */
#include <errno.h>

static inline int *lint_errno(void) {
  int *e = __errno_location();
  if (*e <= 0) __builtin_unreachable();
  return e;
}
#undef errno
#define errno (*lint_errno())
