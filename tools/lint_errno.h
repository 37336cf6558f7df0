/*
** For clang-tidy only. Its analyzer knows nothing of -errno (a negated unknown is any number to
** it), and so follows paths on which a failed call "returns 0" by `return -errno`. Here errno is
** one of the numbers that our code asks about, or another one; each is a path of its own.
*/
#include <errno.h>

int lint_any(void);

#undef errno
#define errno \
  (*(int[1]){lint_any() ? EINTR : lint_any() ? EAGAIN : lint_any() ? ESRCH : lint_any() ? ENOENT : EIO})
